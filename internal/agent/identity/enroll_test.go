package identity_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestEnrolmentMakesOneLastingIdentity(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	if facts := m.id.Facts(); facts.Enrolled || facts.Node != "web1" || facts.Listen != ":9443" {
		t.Fatalf("it begins as %+v", facts)
	}
	_, err := newRun().call(m).Health(t.Context())
	isA[*client.NotEnrolled](t, err)
	enrolled := newRun().enroll(m)
	want := api.Enrolled{
		Deployment: "shop", Node: "web1", Incarnation: 1,
		Key: m.id.Facts().Key, Serial: m.id.Facts().Serial, Expires: now().Add(pki.NodeLifetime),
	}
	if enrolled != want {
		t.Errorf("got %+v, want %+v", enrolled, want)
	}
	if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bootstrap is still there: %v", err)
	}
	for range 2 {
		pinned := newRun()
		pinned.key = enrolled.Key
		if health, err := pinned.call(m).Health(t.Context()); err != nil || !health.Enrolled {
			t.Errorf("got %+v, %v", health, err)
		}
		if again := newRun().enroll(m); again != enrolled {
			t.Errorf("the second enrolment gave %+v, the first %+v", again, enrolled)
		}
		m.boot()
		if facts := m.id.Facts(); !facts.Enrolled || facts.Key != enrolled.Key || facts.Listen != ":9443" {
			t.Errorf("after a restart it is %+v", facts)
		}
	}
	entries, err := os.ReadDir(m.dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s has mode %s, %v", entries[0].Name(), info.Mode(), err)
	}
}

func TestOneOfTwoAtOnceWins(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	var won, refused atomic.Int64
	channels, grants := make([]*channel, 8), make([]api.EnrollGrant, 8)
	for i := range channels {
		channels[i] = m.dial(admin(t))
		grants[i] = channels[i].grant(channels[i].offer(), enrollKey(t))
	}
	var wg sync.WaitGroup
	for i, c := range channels {
		wg.Go(func() {
			switch err := c.post("/v1/enroll:finish", grants[i], &api.Enrolled{}); {
			case err == nil:
				won.Add(1)
			case api.IsProblem(err, api.ProblemEnrolled):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d won and %d were refused", won.Load(), refused.Load())
	}
	if err := m.dial(admin(t)).post("/v1/enroll", api.EnrollHello{Nonce: make([]byte, api.NonceSize)}, nil); !api.IsProblem(err, api.ProblemEnrolled) {
		t.Errorf("a further enrolment: %v", err)
	}
}

func TestRunsAtOnceAgree(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	results := make([]api.Enrolled, 4)
	var wg sync.WaitGroup
	for i := range results {
		called := newRun().call(m)
		wg.Go(func() {
			var err error
			if results[i], err = called.Enroll(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range results {
		if r.Key != m.id.Facts().Key || r.Serial != m.id.Facts().Serial {
			t.Errorf("a run holds %+v, the machine %+v", r, m.id.Facts())
		}
	}
}

func TestKillAtAnyWriteEndsInOneIdentity(t *testing.T) {
	killed := errors.New("killed")
	for at := 1; ; at++ {
		m := booted(t, bootstrap(t, 1))
		count := 0
		var where string
		m.step = func(step string) error {
			if count++; count >= at { // nothing happens after a kill
				where = step
				return killed
			}
			return nil
		}
		_, _ = newRun().call(m).Enroll(t.Context()) // whatever it answers is lost
		m.step = nil
		if count < at {
			if at < 6 {
				t.Errorf("there are %d writes only", at-1)
			}
			return
		}
		t.Run(fmt.Sprintf("before write %d, %s", at, where), func(t *testing.T) {
			m.t = t
			_, err := os.Stat(filepath.Join(filepath.Dir(m.dir), "machine.json"))
			m.boot()
			before := m.id.Facts()
			if err == nil && !before.Enrolled {
				t.Error("the names of a machine that was never enrolled are left")
			}
			enrolled := newRun().enroll(m)
			if before.Enrolled && enrolled.Key != before.Key {
				t.Error("the retry made a second identity")
			}
			m.boot()
			if facts := m.id.Facts(); !facts.Enrolled || facts.Key != enrolled.Key || facts.Serial != enrolled.Serial {
				t.Errorf("the machine is %+v, the run holds %+v", facts, enrolled)
			}
			if entries, err := os.ReadDir(m.dir); err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v, %v", entries, err)
			}
			if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the bootstrap is still there: %v", err)
			}
		})
	}
}

func TestLostLastAnswerIsMadeUpFor(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	c := m.dial(admin(t))
	grant := c.grant(c.offer(), enrollKey(t))
	if err := c.post("/v1/enroll:finish", grant, &api.Enrolled{}); err != nil {
		t.Fatal(err)
	}
	if enrolled := newRun().enroll(m); enrolled.Key != m.id.Facts().Key {
		t.Errorf("the run holds %s, the machine %s", enrolled.Key, m.id.Facts().Key)
	}
}

func TestFailedWriteLeavesTheMachineEnrollable(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	m.step = func(string) error { return errors.New("no space left on device") }
	_, err := newRun().call(m).Enroll(t.Context())
	if !api.IsProblem(err, api.ProblemInternal) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	m.step = nil
	newRun().enroll(m)
}

func TestBootstrapThatCannotBeRemovedIsACondition(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	m.step = func(step string) error {
		if step == "remove" {
			return errors.New("read-only file system")
		}
		return nil
	}
	newRun().enroll(m)
	if c := m.id.Conditions(); len(c) != 1 || c[0].Type != "BootstrapNotRemoved" {
		t.Errorf("got %v", c)
	}
	m.step = nil
	m.boot()
	if c := m.id.Conditions(); len(c) != 0 {
		t.Errorf("got %v", c)
	}
	if _, err := os.Stat(m.bootstrap); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the bootstrap is still there: %v", err)
	}
}

func TestOnlyAHigherIncarnationMakesAMachineNew(t *testing.T) {
	m := booted(t, bootstrap(t, 2))
	second := newRun()
	second.inc = 2
	old := second.enroll(m)
	for _, lower := range []int64{1, 2} {
		m.tell(bootstrap(t, lower))
		m.boot()
		if facts := m.id.Facts(); !facts.Enrolled || facts.Key != old.Key {
			t.Errorf("incarnation %d: %+v", lower, facts)
		}
	}
	m.tell(bootstrap(t, 3))
	m.boot()
	if facts := m.id.Facts(); facts.Enrolled || facts.Key == old.Key || facts.Incarnation != 3 {
		t.Errorf("incarnation 3: %+v", facts)
	}
	pinned := second
	pinned.key = old.Key
	_, err := pinned.call(m).Enroll(t.Context())
	isA[*client.WrongMachine](t, err)
	third := newRun()
	third.inc = 3
	if fresh := third.enroll(m); fresh.Incarnation != 3 || fresh.Key == old.Key {
		t.Errorf("got %+v", fresh)
	}
	_, err = second.call(m).Enroll(t.Context())
	isA[*client.WrongMachine](t, err)
}

func TestOpenWithoutAnythingIsAnError(t *testing.T) {
	_, err := identity.Open(identity.Config{Dir: t.TempDir(), Now: now, Random: rand.Reader})
	if err == nil || !strings.Contains(err.Error(), "there is none") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
