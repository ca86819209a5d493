package appserver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func someSpec() api.AppServer {
	s := api.DefaultAppServer()
	s.Release.SHA256 = strings.Repeat("0123456789abcdef", 4)
	s.Command = []string{"python3", "-m", "uvicorn", "main:app", "--uds", "$SOCKET"}
	s.Port = 80
	return s
}

func specs() map[string]api.AppServer {
	socket := someSpec()
	socket.TrustedProxies = []string{"10.0.0.10/32", "2001:db8::/32"}
	socket.Environment = map[string]string{"NOTES_SERVER": "web1", "KEY": "first\nsecond \"third\" $fourth"}
	socket.SecretsVersion = 3
	socket.HealthCheck.Path = "/healthz"

	port := someSpec()
	port.Command = []string{"./bin/shop", "--listen", "127.0.0.1:$PORT", "--price", `5$ "50%" \ off`, "$$HOME", ";"}
	port.AppPorts, port.Address, port.Port = []int{8000, 8001}, "2001:db8::7", 8080
	port.HealthCheck.Path, port.HealthCheck.Timeout = "/health?full=1", api.Duration(1500*time.Millisecond)
	port.StopTimeout, port.RequestLimits.BodyBytes = api.Duration(90*time.Second), 1

	front := someSpec()
	front.TrustedProxies = []string{"10.0.0.10/32"}
	front.Static = map[string]api.StaticDirectory{
		"/assets/": {Directory: "public/assets", Cache: api.Duration(time.Hour)},
		"/":        {Directory: "public"},
	}
	front.ResponseHeaders = map[string]string{"X-Frame-Options": "DENY", "X-Odd": `a"b\c $uri ${d}; }`, "X-Powered-By": ""}
	front.RequestLimits = api.AppRequestLimits{BodyBytes: 1 << 30, HeaderBytes: 1 << 15}
	front.RequestTimeouts = api.AppRequestTimeouts{
		Headers: api.Duration(time.Second), Body: api.Duration(2 * time.Second), Send: api.Duration(3 * time.Second),
		App: api.Duration(4 * time.Second), WebSocket: api.Duration(5 * time.Second),
	}
	front.Gzip, front.UnderscoresInHeaders = true, true
	return map[string]api.AppServer{"socket": socket, "port": port, "front": front}
}

func render(t *testing.T, name string, s api.AppServer) converge.Version {
	t.Helper()
	return renderBeside(t, name, s, converge.InPlace{})
}

// renderBeside renders a spec where something is in place already.
func renderBeside(t *testing.T, name string, s api.AppServer, before converge.InPlace) converge.Version {
	t.Helper()
	if err := s.Validate().Problem(); err != nil {
		t.Fatal(err)
	}
	var secrets map[string]api.Secret
	if s.SecretsVersion > 0 {
		secrets = map[string]api.Secret{"TOKEN": "hunter2"}
	}
	state, err := New(Deps{}).Render(name, s, secrets, before)
	if err != nil {
		t.Fatal(err)
	}
	return converge.Version{Spec: s, State: state}
}

// show writes a state for people, each line of a file beside the place in the
// spec that it came from.
func show(state converge.State) string {
	var b strings.Builder
	for _, u := range state.Users {
		fmt.Fprintf(&b, "user %s %v\n", u.Name, u.Groups)
	}
	for _, d := range state.Dirs {
		fmt.Fprintf(&b, "dir  %s %v %s:%s\n", d.Path, d.Mode, d.Owner, d.Group)
	}
	for _, tree := range state.Trees {
		fmt.Fprintf(&b, "tree %s %s <= %d (%s)\n", tree.Path, tree.SHA256, tree.MaxBytes, tree.Source)
	}
	for _, l := range state.Links {
		fmt.Fprintf(&b, "link %s -> %s (%s)\n", l.Path, l.Target, l.Source)
	}
	for _, u := range state.Units {
		fmt.Fprintf(&b, "unit %s\n", u.Name)
	}
	for _, f := range state.Files {
		fmt.Fprintf(&b, "\nfile %s %v %s:%s secret=%v\n", f.Path, f.Mode, f.Owner, f.Group, f.Secret)
		for i, line := range strings.Split(strings.TrimSuffix(string(f.Content), "\n"), "\n") {
			b.WriteString(strings.TrimRight(fmt.Sprintf("%-24s| %s", f.Sources[i+1], line), " ") + "\n")
		}
	}
	return b.String()
}

func TestRenderGolden(t *testing.T) {
	for name, s := range specs() {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, name+".golden", show(render(t, "notes", s).State))
		})
	}
}

func TestRenderIsPure(t *testing.T) {
	for name, s := range specs() {
		one, other := show(render(t, "notes", s).State), show(render(t, "notes", s).State)
		if one != other {
			t.Errorf("%s: two renderings differ", name)
		}
	}
}

func TestTwoAppServersShareNothing(t *testing.T) {
	owned := func(name string) map[string]bool {
		state := render(t, name, specs()["socket"]).State
		all := map[string]bool{}
		for _, u := range state.Users {
			all[u.Name] = true
		}
		for _, d := range state.Dirs {
			all[d.Path] = true
		}
		for _, f := range state.Files {
			all[f.Path] = true
		}
		for _, l := range state.Links {
			all[l.Path], all[l.Target] = true, !strings.HasPrefix(l.Target, ".") && strings.HasPrefix(l.Target, "/")
		}
		for _, u := range state.Units {
			all[u.Name] = true
		}
		l := layout{name: name}
		for _, p := range []string{l.nginxRuntimeDir(), l.appSocket(slotBlue), l.release(strings.Repeat("a", 64))} {
			all[p] = true
		}
		return all
	}
	// Names chosen to run into each other's suffixes.
	names := []string{"a", "a-nginx", "a-blue", "a-blue-blue", "a-nginx-nginx"}
	for i, one := range names {
		for _, other := range names[i+1:] {
			ofOther := owned(other)
			for what, mine := range owned(one) {
				if mine && ofOther[what] {
					t.Errorf("%s and %s both own %s", one, other, what)
				}
			}
		}
	}
}

func TestRenderSecrets(t *testing.T) {
	s := someSpec()
	s.SecretsVersion = 1
	dry, err := New(Deps{}).Render("notes", s, nil, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	wet, err := New(Deps{}).Render("notes", s, map[string]api.Secret{"TOKEN": "hunter2"}, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range wet.Files {
		if same := string(f.Content) == string(dry.Files[i].Content); same == f.Secret {
			t.Errorf("%s: secret %v, but its dry run is the same: %v", f.Path, f.Secret, same)
		}
		if f.Secret && f.Mode != 0o600 {
			t.Errorf("%s has the mode %v", f.Path, f.Mode)
		}
	}
	_, err = New(Deps{}).Render("notes", s, map[string]api.Secret{"PORT": "hunter2"}, converge.InPlace{})
	if problem, ok := errors.AsType[*api.Problem](err); !ok || problem.Violations[0].Pointer != "/secrets/PORT" {
		t.Errorf("a reserved name: %v", err)
	}
}

func TestRevisionFollowsEverything(t *testing.T) {
	seen := map[string]string{}
	for what, change := range map[string]func(*api.AppServer){
		"nothing":         func(*api.AppServer) {},
		"release":         func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("f", 64) },
		"command":         func(s *api.AppServer) { s.Command = []string{"x"} },
		"environment":     func(s *api.AppServer) { s.Environment = map[string]string{"A": "b"} },
		"secrets version": func(s *api.AppServer) { s.SecretsVersion = 2 },
		"app ports":       func(s *api.AppServer) { s.AppPorts, s.Command = []int{8000, 8001}, []string{"x"} },
		"restart trigger": func(s *api.AppServer) { s.RestartTrigger = "again" },
	} {
		s := someSpec()
		change(&s)
		l := layout{name: "notes"}
		variables, err := parseEnvironment(appEnvironment(l, slotBlue, s).Content())
		if err != nil {
			t.Fatal(err)
		}
		revision := variables[revisionVariable]
		if other, taken := seen[revision]; taken || len(revision) != 16 {
			t.Errorf("the revision %q with another %s is that with another %s", revision, what, other)
		}
		seen[revision] = what
	}
}

func TestValidate(t *testing.T) {
	k := New(Deps{})
	s := someSpec()
	spec, err := k.Validate(api.Encode(s))
	if err != nil {
		t.Fatal(err)
	}
	if string(api.Encode(spec)) != string(api.Encode(s)) {
		t.Errorf("validating changed the spec to %s", api.Encode(spec))
	}
	s.Port = 0
	for _, raw := range []string{`{"port":1,"prot":2}`, string(api.Encode(s)), "["} {
		if _, err := k.Validate([]byte(raw)); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
