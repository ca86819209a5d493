package identity_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// bootstrapOf returns the bootstrap of a machine from another seed.
func bootstrapOf(t testing.TB, seed, node string, incarnation int64) api.Bootstrap {
	t.Helper()
	b, err := pki.NewBootstrap(authority(t, seed), node, incarnation, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A machine whose seed is lost is enrolled again, by another seed, once root
// has reset it; its key is another one then, and the old CA counts no longer.
func TestResetIsTheWayOutOfALostSeed(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	before := newRun().enroll(m)
	next := newRun()
	next.seed, next.inc = otherSeedText, 2
	if err := identity.Reset(m.dir, bootstrapOf(t, otherSeedText, "web1", 2)); err != nil {
		t.Fatal(err)
	}
	m.boot()
	if found := m.id.Conditions(); len(found) != 1 || found[0].Type != "IdentityReset" {
		t.Errorf("conditions %+v", found)
	}
	former := newRun()
	former.inc = 2
	_, err := former.call(m).Enroll(t.Context())
	isA[*client.WrongCA](t, err) // whom it trusted before does not count
	after := next.enroll(m)
	if after.Key == before.Key || after.Incarnation != 2 {
		t.Errorf("it became %+v", after)
	}
	for range 2 { // also once the reset's file has gone
		m.boot()
		if facts := m.id.Facts(); !facts.Enrolled || facts.Key != after.Key {
			t.Errorf("after a restart it is %+v", facts)
		}
	}
	if found := m.id.Conditions(); len(found) != 0 {
		t.Errorf("conditions %+v", found)
	}
}

// An agent that was killed between the two writes of the enrolment is enrolled.
func TestResetThatWasEnrolledIsNotBegunAgain(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	b := bootstrapOf(t, otherSeedText, "web1", 2)
	if err := identity.Reset(m.dir, b); err != nil {
		t.Fatal(err)
	}
	m.boot()
	next := newRun()
	next.seed, next.inc = otherSeedText, 2
	enrolled := next.enroll(m)
	if err := os.WriteFile(filepath.Join(m.dir, "reset.json"), b.JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	m.boot()
	if facts := m.id.Facts(); !facts.Enrolled || facts.Key != enrolled.Key {
		t.Errorf("it is %+v", facts)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "reset.json")); !os.IsNotExist(err) {
		t.Errorf("the file of the reset: %v", err)
	}
}

func TestResetRefuses(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"an identity":         nil,
		"a damaged identity":  func(path string) error { return os.Truncate(path, 100) },
		"a lost identity":     os.Remove,
		"nothing of identity": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		t.Run("with "+name, func(t *testing.T) {
			m := booted(t, bootstrap(t, 3))
			r := newRun()
			r.inc = 3
			r.enroll(m)
			if lose != nil {
				if err := lose(filepath.Join(m.dir, "identity.json")); err != nil {
					t.Fatal(err)
				}
			}
			for name, test := range map[string]struct {
				b    api.Bootstrap
				want string
			}{
				"the incarnation whose key was used": {bootstrapOf(t, seedText, "web1", 3), "raise the incarnation of its foobar_bootstrap and foobar_machine to 4"},
				"another machine's":                  {bootstrapOf(t, otherSeedText, "web2", 4), "this machine is web1 of deployment shop"},
			} {
				if err := identity.Reset(m.dir, test.b); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%s: got %v, want %q", name, err, test.want)
				}
			}
			if _, err := os.Stat(filepath.Join(m.dir, "reset.json")); !os.IsNotExist(err) {
				t.Errorf("a refused reset is left: %v", err)
			}
			if lose != nil {
				return
			}
			m.boot()
			if !m.id.Facts().Enrolled {
				t.Error("a refused reset was carried out")
			}
		})
	}
}

// A machine that has lost its identity says so to whoever calls, and does
// nothing for anybody. A reset is its way out.
func TestLostIdentity(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"gone":      os.RemoveAll,
		"cut off":   func(dir string) error { return os.Truncate(filepath.Join(dir, "identity.json"), 100) },
		"of 0 byte": func(dir string) error { return os.Truncate(filepath.Join(dir, "identity.json"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			m := booted(t, bootstrap(t, 1))
			newRun().enroll(m)
			m.stop()
			if err := lose(m.dir); err != nil {
				t.Fatal(err)
			}
			config := identity.Config{Dir: m.dir, Now: now, Random: rand.Reader}
			_, err := identity.Open(config)
			lost := as[*identity.Lost](t, err)
			if lost.Node != "web1" || lost.Deployment != "shop" || lost.Listen != ":9443" || !strings.Contains(lost.Error(), "identity reset --bootstrap FILE") {
				t.Errorf("got %+v: %v", lost.Names, lost)
			}
			answering, err := lost.TLSConfig(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			m.handled.Store(0)
			m.address, m.stop = serve(t, answering, m.handler())
			_, err = newRun().call(m).Health(t.Context())
			isA[*client.NotEnrolled](t, err)
			if _, err := newRun().call(m).Enroll(t.Context()); err == nil || m.handled.Load() != 0 {
				t.Errorf("it was enrolled, or answered %d calls: %v", m.handled.Load(), err)
			}
			if err := identity.Reset(m.dir, bootstrap(t, 2)); err != nil {
				t.Fatal(err)
			}
			m.boot()
			again := newRun()
			again.inc = 2
			again.enroll(m)
		})
	}
}

// A bootstrap that is never removed, such as a systemd credential, does not begin
// a machine again whose identity is gone: its key was used, and its CA may be the
// one that a reset has ended. A later one of the same machine does.
func TestUsedBootstrapDoesNotBeginALostMachineAgain(t *testing.T) {
	enrolled := func(t *testing.T) *machine {
		m := booted(t, bootstrap(t, 1))
		newRun().enroll(m)
		return m
	}
	reset := func(t *testing.T) *machine {
		m := enrolled(t)
		if err := identity.Reset(m.dir, bootstrapOf(t, otherSeedText, "web1", 2)); err != nil {
			t.Fatal(err)
		}
		m.boot()
		next := newRun()
		next.seed, next.inc = otherSeedText, 2
		next.enroll(m)
		return m
	}
	resetFileLeft := func(t *testing.T) *machine { // as a kill before its removal leaves it
		m := reset(t)
		if err := os.WriteFile(filepath.Join(m.dir, "reset.json"), bootstrapOf(t, otherSeedText, "web1", 2).JSON(), 0o600); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, test := range map[string]struct {
		machine func(t *testing.T) *machine
		b       api.Bootstrap
		want    string // in the error; none: it begins again
	}{
		"the one it was enrolled with":        {enrolled, bootstrap(t, 1), "is for incarnation 1, and this machine is incarnation 1"},
		"the one from before a reset":         {reset, bootstrap(t, 1), "is for incarnation 1, and this machine is incarnation 2"},
		"the reset's own":                     {resetFileLeft, bootstrap(t, 1), "is for incarnation 2, and this machine is incarnation 2"},
		"another machine's":                   {enrolled, bootstrapOf(t, seedText, "web2", 5), "this machine is web1 of deployment shop"},
		"a later one":                         {enrolled, bootstrap(t, 2), ""},
		"a later one, by the seed of a reset": {reset, bootstrapOf(t, otherSeedText, "web1", 3), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := test.machine(t)
			m.stop()
			if err := os.Remove(filepath.Join(m.dir, "identity.json")); err != nil {
				t.Fatal(err)
			}
			id, err := identity.Open(identity.Config{Dir: m.dir, Bootstrap: &identity.Bootstrap{Bootstrap: test.b}, Now: now, Random: rand.Reader})
			if test.want == "" {
				if err != nil || id.Facts().Enrolled || id.Facts().Incarnation != test.b.Incarnation {
					t.Errorf("it does not begin again: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("it waits to be enrolled: %+v", id.Facts())
			}
			if lost := as[*identity.Lost](t, err); lost.Node != "web1" || !strings.Contains(lost.Error(), test.want) || !strings.Contains(lost.Error(), "identity reset --bootstrap FILE") {
				t.Errorf("got %+v: %v", lost.Names, lost)
			}
		})
	}
}

// Whether a bootstrap was used cannot be determined of a machine that has lost its names
// too. Root's reset is its way out.
func TestUnknownNamesBeginNothing(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	m.stop()
	if err := errors.Join(os.RemoveAll(m.dir), os.Truncate(filepath.Join(filepath.Dir(m.dir), "machine.json"), 10)); err != nil {
		t.Fatal(err)
	}
	_, err := identity.Open(identity.Config{Dir: m.dir, Bootstrap: &identity.Bootstrap{Bootstrap: bootstrap(t, 1)}, Now: now, Random: rand.Reader})
	if lost := as[*identity.Lost](t, err); !strings.Contains(lost.Error(), "machine.json") {
		t.Errorf("got %v", lost)
	}
	if err := identity.Reset(m.dir, bootstrap(t, 2)); err != nil {
		t.Fatal(err)
	}
	m.boot()
	again := newRun()
	again.inc = 2
	again.enroll(m)
}

// A reset that cannot be read is not silently none: an enrolled machine goes on
// and tells of it, one without an identity is lost. To reset it again is the way
// out of both.
func TestDamagedResetIsReported(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"empty":          func(path string) error { return os.Truncate(path, 0) },
		"cut off":        func(path string) error { return os.Truncate(path, 50) },
		"a directory":    func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"a pipe":         func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"open to others": func(path string) error { return os.Chmod(path, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			m := booted(t, bootstrap(t, 1))
			newRun().enroll(m)
			b := bootstrapOf(t, otherSeedText, "web1", 2)
			if err := identity.Reset(m.dir, b); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(m.dir, "reset.json")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			m.boot()
			shown := m.id.Conditions()
			if len(shown) != 1 || shown[0].Type != "ResetNotDone" || !strings.Contains(shown[0].Message, path) || !strings.Contains(shown[0].Message, "identity reset --bootstrap FILE") {
				t.Errorf("conditions %+v", shown)
			}
			m.stop()
			if err := os.Truncate(filepath.Join(m.dir, "identity.json"), 100); err != nil {
				t.Fatal(err)
			}
			_, err := identity.Open(identity.Config{Dir: m.dir, Now: now, Random: rand.Reader})
			if lost := as[*identity.Lost](t, err); lost.Node != "web1" || !strings.Contains(lost.Error(), path) || !strings.Contains(lost.Error(), "identity.json") {
				t.Errorf("with a damaged identity besides: %v", lost)
			}
			if err := identity.Reset(m.dir, b); err != nil {
				t.Fatal(err)
			}
			m.boot()
			next := newRun()
			next.seed, next.inc = otherSeedText, 2
			next.enroll(m)
			if shown := m.id.Conditions(); len(shown) != 0 {
				t.Errorf("conditions %+v", shown)
			}
		})
	}
}
