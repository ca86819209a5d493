package loadbalancer

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// stage writes a spec's configuration where Check finds it.
func stage(t *testing.T, spec api.LoadBalancer) converge.Staged {
	t.Helper()
	v := version(t, spec)
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	config := pathsOf("lb").config
	if err := os.WriteFile(path, v.State.File(config).Content, 0o600); err != nil {
		t.Fatal(err)
	}
	return converge.NewStaged("lb", v, map[string]string{config: path})
}

// refusing returns a checker that prints output and fails as a program does.
func refusing(output string) func(context.Context, []byte) (string, error) {
	return func(context.Context, []byte) (string, error) {
		return strings.ReplaceAll(output, "CFG", checker.ConfigPath), &checker.Refusal{Status: 1}
	}
}

// lineOf returns the number of the first line that holds text.
func lineOf(t *testing.T, spec api.LoadBalancer, text string) string {
	t.Helper()
	before, _, found := strings.Cut(string(render(t, "lb", spec).File(pathsOf("lb").config).Content), text)
	if !found {
		t.Fatalf("no line has %q", text)
	}
	return itoa(strings.Count(before, "\n") + 1)
}

// checked returns a kind on a machine that has the addresses of the specs.
func checked() *Kind {
	kind := New(nil, nil)
	kind.addresses = func() (host.Addresses, error) {
		return host.Addresses{netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("fd00::10")}, nil
	}
	return kind
}

func TestCheckRefusesAddressesOfOtherMachines(t *testing.T) {
	spec := rich()
	for name, address := range map[string]string{"elsewhere": "10.0.0.99", "elsewhere-six": "fd00::99", "every": "*", "every-four": "0.0.0.0", "here": "10.0.0.10", "loopback": "127.0.0.2"} {
		spec.Frontends[name] = api.Frontend{Address: address, Port: 9000 + len(spec.Frontends), Backend: "web"}
	}
	kind := checked()
	for name, check := range map[string]func(context.Context, []byte) (string, error){
		"and HAProxy takes the rest":           func(context.Context, []byte) (string, error) { return "", nil },
		"and HAProxy refuses something itself": refusing("[ALERT]    (7) : config : parsing [CFG:1] : hm.\n"),
	} {
		kind.check = check
		problem := api.AsProblem(kind.Check(t.Context(), stage(t, spec)))
		if problem == nil || problem.Type != api.ProblemEngineRefused || len(problem.Violations) != 2 {
			t.Fatalf("%s: the problem is %#v", name, problem)
		}
		for i, want := range []string{"elsewhere", "elsewhere-six"} {
			if v := problem.Violations[i]; v.Pointer != api.Pointer("/frontends").At(want, "address") || !strings.Contains(v.Detail, "which has [10.0.0.10 fd00::10]") {
				t.Errorf("%s: the violation is %+v", name, v)
			}
		}
	}
}

func TestCheckPointsAtTheSpec(t *testing.T) {
	for name, test := range map[string]struct {
		output  string
		pointer api.Pointer
		detail  string
	}{
		"log format": {
			"[ALERT]    (7) : config : Parsing [CFG:" + lineOf(t, rich(), "log-format '%ci") + "]: failed to parse log-format : no such format alias 'zz'.\n" +
				"[ALERT]    (7) : config : Fatal errors found in configuration.\n",
			"/frontends/admin/log_format", "failed to parse log-format : no such format alias 'zz'.",
		},
		"pattern": {
			"[ALERT]    (7) : config : parsing [CFG:" + lineOf(t, rich(), "expect rstring") + "] : 'http-check expect' : regex 'a[' is invalid.\n",
			"/backends/admin/health_check/body_pattern", "'http-check expect' : regex 'a[' is invalid.",
		},
		"warning": {
			"[WARNING]  (7) : config : parsing [CFG:" + lineOf(t, rich(), "balance leastconn") + "] : hm.\n" +
				"[ALERT]    (7) : config : Some warnings were found and 'zero-warning' is set. Aborting.\n",
			"/backends/plain/algorithm", "hm.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			kind := checked()
			kind.check = refusing(test.output)
			problem := api.AsProblem(kind.Check(t.Context(), stage(t, rich())))
			if problem == nil || problem.Type != api.ProblemEngineRefused || len(problem.Violations) != 1 {
				t.Fatalf("the problem is %#v", problem)
			}
			if got, want := problem.Violations[0], (api.Violation{Pointer: test.pointer, Detail: test.detail}); got != want {
				t.Errorf("the violation is %+v, expected %+v", got, want)
			}
		})
	}
}

func TestCheckTellsWhatHasNoPlace(t *testing.T) {
	for output, want := range map[string]string{
		"[ALERT]    (7) : config : Proxy 'www': out of memory.\n": "Proxy 'www': out of memory.",
		"[WARNING]  (7) : config : hm.\n":                         "hm.",
		"Killed\n":                                                "it gave no reason",
		"[ALERT]    (7) : " + strings.Repeat("é", 300) + "\n":     strings.Repeat("é", 200) + "…",
	} {
		kind := checked()
		kind.check = refusing(output)
		problem := api.AsProblem(kind.Check(t.Context(), stage(t, pair())))
		if problem == nil || problem.Type != api.ProblemEngineRefused || problem.Detail != want || len(problem.Violations) > 0 {
			t.Errorf("%q became %#v", output, problem)
		}
	}
}

func TestCheckTellsAMissingEngineFromARefusal(t *testing.T) {
	kind := checked()
	kind.check = func(context.Context, []byte) (string, error) { return "", exec.ErrNotFound }
	err := kind.Check(t.Context(), stage(t, pair()))
	if !errors.Is(err, exec.ErrNotFound) || api.IsProblem(err, api.ProblemEngineRefused) {
		t.Errorf("the error is %v", err)
	}
	kind.check = func(context.Context, []byte) (string, error) { return "", nil }
	if err := kind.Check(t.Context(), stage(t, pair())); err != nil {
		t.Errorf("an accepted configuration gave %v", err)
	}
}

func TestValidateDecodesStrictly(t *testing.T) {
	kind := checked()
	good, err := kind.Validate(api.Encode(pair()))
	if err != nil {
		t.Fatal(err)
	}
	if claims := good.Claims(); len(claims) != 1 || claims[0].Port != 80 {
		t.Errorf("the claims are %v", claims)
	}
	for _, raw := range []string{`{}`, `{"engine":"haproxy","color":"red"}`, `[]`, `x`} {
		if _, err := kind.Validate([]byte(raw)); !api.IsProblem(err, api.ProblemInvalid) {
			t.Errorf("%s gave %v", raw, err)
		}
	}
	if _, err := kind.Render("lb", nil, nil, converge.InPlace{}); err == nil {
		t.Error("a spec of no load balancer was rendered")
	}
}
