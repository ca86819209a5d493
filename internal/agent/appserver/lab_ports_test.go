//go:build lab

package appserver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// shared is an app that lets others listen on its port beside it, and that listens on
// each of the ports itself that it may.
const shared = `
import threading
Server.server_bind = lambda self: (self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1), self.socket.bind(self.server_address))
for port in (8086, 8087):
    try:
        threading.Thread(target=Server(("127.0.0.1", port), Handler).serve_forever).start()
    except OSError as e:
        print(f"cannot listen on {port}: {e}", flush=True)
`

// TestABadReleaseGetsNoRequestOfTheLiveOne, though it listens wherever it can.
func TestABadReleaseGetsNoRequestOfTheLiveOne(t *testing.T) {
	const url = "http://127.0.0.1:8085/"
	s := newStand(t)
	release := func(name string) string {
		code, _, _ := strings.Cut(echo, "print(")
		return s.upload(map[string]entry{"main.py": {"RELEASE = \"" + name + "\"\n" + code + shared, 0o644}})
	}
	good := s.spec(release("good"), 8085)
	good.AppPorts = []int{8086, 8087}
	s.apply("shop", good, nil)
	bad := good
	bad.Release.SHA256, bad.HealthCheck.Path = release("bad"), "/broken"
	bad.HealthCheck.StartTimeout = api.Duration(3 * time.Second)

	ctx, stop := context.WithCancel(t.Context())
	asked, other := 0, 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			asked++
			if response, answer := s.ask(http.MethodGet, url, nil, nil); response.status != http.StatusOK || answer.Release != "good" { //nolint:contextcheck // it has none
				other++
			}
		}
	}()
	problem := s.refused("shop", bad)
	stop()
	<-done
	if log := strings.Join(problem.Log, "\n"); !strings.Contains(log, "cannot listen on 8086") {
		t.Errorf("its log is %s", log)
	}
	if asked < 100 || other > 0 {
		t.Errorf("of %d answers %d were not of the good release: %v", asked, other, problem)
	}
	t.Logf("%d answers, all of the good release: %v", asked, problem)
}
