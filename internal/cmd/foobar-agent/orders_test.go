package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

func TestOrdersOnTheMachine(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	archive := artifacttest.Pack(artifacttest.Program("app", "one"))
	sum := sha256.Sum256(archive)
	spec := api.DefaultAppServer()
	spec.Release.SHA256, spec.Command, spec.Port = hex.EncodeToString(sum[:]), []string{"./app"}, 8080
	if err := m.Admin().UploadBlob(t.Context(), spec.Release.SHA256, bytes.NewReader(archive), int64(len(archive)), nil); err != nil {
		t.Fatal(err)
	}
	for base, environment := range []map[string]string{{"A": "one"}, {"A": "two"}} {
		spec.Environment = environment
		shop := client.Change{ID: api.ID{Kind: api.KindAppServer, Name: "shop"}, Base: int64(base), Write: api.Write{Spec: api.Encode(spec)}}
		if _, err := m.Admin().Apply(t.Context(), shop, nil); err != nil {
			t.Fatal(err)
		}
	}
	agent := newLocal(m.Socket())
	says := func(verb, component string, fails bool, words ...string) {
		t.Helper()
		var out bytes.Buffer
		verb, to, _ := strings.Cut(verb, " -to ")
		generation, _ := strconv.ParseInt(to, 10, 64)
		err := order(t.Context(), agent, verb, component, generation, &out)
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%s %s does not say %q:\n%s", verb, component, word, text)
			}
		}
		if fails != (err != nil) {
			t.Errorf("%s %s: %v", verb, component, err)
		}
	}
	const shop = "app-server/shop"
	says("drain", shop, false, "no new requests", "foobar-agent undrain app-server/shop")
	if by := m.Drained("shop"); !strings.Contains(by, "on the machine") {
		t.Errorf("it is drained by %q", by)
	}
	says("drain", shop, false, "was drained already for ", "on the machine. Nothing was changed", "foobar-agent undrain app-server/shop")
	says("undrain", shop, false, "is not drained any more. It was drained for ", "on the machine. Load balancers send it requests")
	says("undrain", shop, false, "was not drained. Nothing was changed")
	if by := m.Drained("shop"); by != "" {
		t.Errorf("it is drained by %q still", by)
	}
	says("restart", shop, false, "validate start generation 2", "activate start foobar-app-shop", "is of generation 3 now, and runs release "+spec.Release.SHA256[:12]+" in slot blue. The next terraform plan reads that.\n")
	says("rollback -to 7", shop, true, "generation 7 of app-server/shop is not on this machine; the one that can be gone back to is generation 1 (release "+spec.Release.SHA256[:12]+", applied by")
	release := " (release " + spec.Release.SHA256[:12] + ", applied by "
	says("rollback", shop, false, "validate go back from generation 3"+release, "to generation 1"+release, "validate what differs: environment\n", "is of generation 4 now", "shows what differs")
	if s, err := readStatus(t.Context(), agent); err != nil || !strings.Contains(s.String(), "on the machine (rollback)") || !strings.Contains(string(s.Components[0].Spec), `"A":"one"`) {
		t.Errorf("the status is %v, %v", s, err)
	}
	m.AppServers.Set(agenttest.Hooks{Apply: func(_ context.Context, c converge.Change, _ converge.Progress) error {
		c.Warn("AppKilled", "/stop_timeout", "it was deaf")
		return nil
	}})
	says("restart", shop, false, "warning AppKilled: it was deaf\n", "is of generation 5 now")
	m.AppServers.Set(agenttest.Hooks{Apply: func(_ context.Context, c converge.Change, _ converge.Progress) error {
		if c.Undo {
			return nil
		}
		return &api.Problem{Type: api.ProblemRolledBack, Title: "The app did not start", Detail: "it exited", Log: []string{"panic: \x1b[2J"}}
	}})
	says("rollback", shop, true, "The app did not start: it exited", "generation 5", "The last lines of its log:\n  panic: \\x1b[2J")
	says("restart", "load-balancer/www", true, "an app server can")
	says("restart", "app-server/blog", true, "there is no component app-server/blog on this machine; it has: app-server/shop")
	says("restart", "mail/www", true, `no kind "mail"`)
	says("restart", "shop", true, "write a kind and a name")
	says("restart", "app-server/../x", true, "write a kind and a name")

	entries, err := m.Admin().Audit(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	audited := map[string]bool{}
	for _, e := range entries {
		if strings.Contains(e.Actor, "on the machine") {
			audited[e.Path] = true
		}
	}
	for _, verb := range []string{"restart", "rollback", "drain", "undrain"} {
		if !audited["/v1/"+shop+":"+verb] {
			t.Errorf("%s is not in the audit log", verb)
		}
	}
}

func TestAnInterruptedOrderSaysThatItGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := api.Operation{ID: "1", Component: api.ID{Kind: api.KindAppServer, Name: "shop"}}
	if err := follow(ctx, newLocal("/nowhere"), "restart", op, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "goes on without you") {
		t.Errorf("it says %v", err)
	}
}

// TestAnOrderThatWaitsIsToldOfTheAgentsEnd: whoever gave it waits until the agent is back, and
// learns that it was not carried out.
func TestAnOrderThatWaitsIsToldOfTheAgentsEnd(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	archive := artifacttest.Pack(artifacttest.Program("app", "one"))
	sum := sha256.Sum256(archive)
	spec := api.DefaultAppServer()
	spec.Release.SHA256, spec.Command, spec.Port = hex.EncodeToString(sum[:]), []string{"./app"}, 8080
	if err := m.Admin().UploadBlob(t.Context(), spec.Release.SHA256, bytes.NewReader(archive), int64(len(archive)), nil); err != nil {
		t.Fatal(err)
	}
	shop := client.Change{ID: api.ID{Kind: api.KindAppServer, Name: "shop"}, Write: api.Write{Spec: api.Encode(spec)}}
	if _, err := m.Admin().Apply(t.Context(), shop, nil); err != nil {
		t.Fatal(err)
	}
	m.AppServers.Set(agenttest.Hooks{Apply: func(ctx context.Context, c converge.Change, _ converge.Progress) error {
		if c.Undo {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}})
	running := make(chan error)
	go func() {
		running <- order(t.Context(), newLocal(m.Socket()), "restart", "app-server/shop", 0, new(bytes.Buffer))
	}()
	for busy := false; !busy; {
		c, err := m.Admin().Get(t.Context(), shop.ID)
		if err != nil {
			t.Fatal(err)
		}
		busy = len(c.Conditions) == 1 && c.Conditions[0].Type == "OperationRunning"
	}
	said := &lines{come: make(chan string, 99)}
	waiting := make(chan error)
	go func() { waiting <- order(t.Context(), newLocal(m.Socket()), "restart", "app-server/shop", 0, said) }()
	if first := <-said.come; !strings.Contains(first, "queue") {
		t.Errorf("it begins with %q", first)
	}
	m.AppServers.Set(agenttest.Hooks{})
	m.Stop()
	m.Boot()
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "restarted before it began: it still waited for its turn on app-server/shop, and nothing was changed; if it still has to be, give the order again: foobar-agent restart app-server/shop") {
		t.Errorf("the one that waited: %v", err)
	}
	if err := <-running; err == nil || !strings.Contains(err.Error(), "stopped in the middle") || !strings.Contains(err.Error(), "give the order again") {
		t.Errorf("the one that ran: %v", err)
	}
}

// lines passes on what is written to it.
type lines struct{ come chan string }

func (l *lines) Write(text []byte) (int, error) {
	l.come <- string(text)
	return len(text), nil
}

func TestDrainSaysSinceWhenAndByWhom(t *testing.T) {
	known := &api.Drain{By: "root on the machine", At: noon()}
	for name, c := range map[string]struct {
		verb   string
		before *api.Drain
		want   string
	}{
		"a drain":                    {"drain", nil, "Load balancers send app-server/shop on web1 no new requests once their next health check has seen it. "},
		"a second drain":             {"drain", known, "app-server/shop on web1 was drained already for 1h2m3s, since 2026-05-01 12:00:00 UTC, by root on the machine. Nothing was changed: "},
		"a drain after one unknown":  {"drain", &api.Drain{}, "app-server/shop on web1 was drained already, since when and by whom is not known. Nothing"},
		"an undrain":                 {"undrain", known, "app-server/shop on web1 is not drained any more. It was drained for 1h2m3s, since 2026-05-01 12:00:00 UTC, by root on the machine. Load"},
		"an undrain of one unknown":  {"undrain", &api.Drain{}, "is not drained any more. It was drained, since when and by whom is not known. "},
		"an undrain of nothing":      {"undrain", nil, "app-server/shop on web1 was not drained. Nothing was changed.\n"},
		"a clock that was set back":  {"undrain", &api.Drain{By: "root", At: noon().AddDate(1, 0, 0)}, "It was drained for 0s, since 2027"},
		"who would obey a terminal":  {"drain", &api.Drain{By: "\x1b[2J", At: noon()}, `by \x1b[2J.`},
		"a drain says how it ends":   {"drain", nil, "until the next boot or: foobar-agent undrain app-server/shop\n"},
		"and so does the second one": {"drain", known, "until the next boot or: foobar-agent undrain app-server/shop\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := drainText(c.verb, "app-server/shop", "web1", c.before, noon().Add(time.Hour+2*time.Minute+3*time.Second))
			if !strings.Contains(got, c.want) {
				t.Errorf("it says %q, not %q", got, c.want)
			}
		})
	}
}
