//go:build lab

package appserver_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// hold brings "shop" to where the undoing of its second release is held: the first one
// does not run, and does not start until mend is called.
func (s *stand) hold(one, two api.AppServer) (mend func()) {
	s.Helper()
	s.apply("shop", one, nil)
	unit, release := s.live("shop"), "/srv/shop/releases/"+one.Release.SHA256[:12]
	const away = "/srv/shop.away"
	s.runner.Engine.Hook = func(step string) error {
		if step != "commit" {
			return nil
		}
		err := os.Rename(release, away)
		s.signal(unit, syscall.SIGKILL)
		return errors.Join(err, errors.New("a fault"))
	}
	s.Cleanup(func() { _ = os.RemoveAll(away) })
	problem := s.refused("shop", two)
	s.runner.Engine.Hook = nil
	if !strings.Contains(problem.Error(), unit+", which ran before, does not run any more, so the traffic stays where it is") {
		s.Errorf("it ended with %v", problem)
	}
	return func() {
		if err := os.Rename(away, release); err != nil {
			s.Fatal(err)
		}
	}
}

// unfinished reports whether a component shows that a change of it has not ended.
func (s *stand) unfinished(name string) bool {
	s.Helper()
	c, _ := s.get(name)
	return slices.ContainsFunc(c.Conditions, func(c api.Condition) bool { return c.Type == "ChangeUnfinished" })
}

// TestAHeldUndoingUnderLoad: a release failed once it had the traffic, and the one before
// it does not run any more. A change that fails leaves that as it is, a good one goes on
// from there, and the agent goes back once it can. No request is lost by any of them,
// wherever either release listens and whatever files nginx shows of it.
func TestAHeldUndoingUnderLoad(t *testing.T) {
	const address, url = "127.0.0.1:8081", "http://127.0.0.1:8081/"
	files := map[string]api.StaticDirectory{"/files/": {Directory: "public"}}
	for name, c := range map[string]struct {
		one, two func(*api.AppServer)
	}{
		"on sockets":        {func(*api.AppServer) {}, func(*api.AppServer) {}},
		"from one to ports": {func(*api.AppServer) {}, func(a *api.AppServer) { a.AppPorts, a.Static = []int{8086, 8087}, files }},
		"on other ports": {
			func(a *api.AppServer) { a.AppPorts, a.Static = []int{8086, 8087}, files },
			func(a *api.AppServer) { a.AppPorts = []int{8088, 8089} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			again := make(chan time.Time)
			s.runner.After = func(time.Duration) <-chan time.Time { return again }
			one := s.spec(s.countedRelease("one", ""), 8081)
			two := one
			two.Release.SHA256 = s.countedRelease("two", "")
			c.one(&one)
			c.two(&two)
			bad, three := one, one
			bad.Release.SHA256, bad.HealthCheck.Path, bad.HealthCheck.StartTimeout = s.countedRelease("bad", ""), "/broken", api.Duration(2*time.Second)
			three.Release.SHA256 = s.countedRelease("three", "")

			mend := s.hold(one, two)
			s.serves("two", url)
			s.nothingLost(loadtest.Load{Address: address, Name: name + ", a bad change and the way back", Fresh: true}, func() {
				t.Logf("in vain: %v", s.refused("shop", bad))
				s.serves("two", url)
				if !s.unfinished("shop") {
					t.Error("after a change that failed, the undoing that it has left is forgotten")
				}
				mend()
				again <- time.Time{}
				s.eventually("the agent goes back", func() bool { return !s.unfinished("shop") })
				s.serves("one", url)
			})
			if got, _ := s.get("shop"); len(got.Drift) > 0 {
				t.Errorf("after the way back: %v", got.Drift)
			}

			s.hold(one, two)
			s.nothingLost(loadtest.Load{Address: address, Name: name + ", a good change", Fresh: true}, func() {
				s.apply("shop", three, nil)
				s.serves("three", url)
			})
			if got, _ := s.get("shop"); len(got.Drift) > 0 || s.unfinished("shop") {
				t.Errorf("after a good change: %v, %v", got.Drift, got.Conditions)
			}
		})
	}
}
