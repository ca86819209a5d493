//go:build lab

package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// ledger is where an example app keeps the lines that are sent to it, and shows them.
const ledger = "/ledger"

// ask is a request that a client sends again and again; each POST has a line of
// its own.
type ask struct {
	method, path string
	// status is that of a good answer, and answer its text, of a release.
	status int
	answer string
}

// clients ask an app until they are stopped.
type clients struct {
	t       *testing.T
	address string
	asks    []ask
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu     sync.Mutex
	failed []string
	// answers are counted by release. acknowledged are the lines that the app says
	// it keeps.
	answers      map[int]int
	acknowledged map[string]bool
}

// startClients has four clients send each request, two of them over a new
// connection each time: some 200 requests a second, for two minutes at most.
func startClients(t *testing.T, address string, asks []ask) *clients {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	c := &clients{t: t, address: address, asks: asks, cancel: cancel, answers: map[int]int{}, acknowledged: map[string]bool{}}
	t.Cleanup(c.end)
	for _, a := range asks {
		for client := range 4 {
			sender := c.sender(client%2 == 0)
			c.done.Go(func() {
				defer sender.Drop()
				for n := 0; ctx.Err() == nil; n++ {
					c.ask(context.WithoutCancel(ctx), sender, a, fmt.Sprintf("%s: line %d of client %d", t.Name(), n, client))
					time.Sleep(20 * time.Millisecond) // the pace, not a wait
				}
			})
		}
	}
	return c
}

// end lets the clients finish their requests.
func (c *clients) end() {
	c.cancel()
	c.done.Wait()
}

// sender returns a client, which sends nothing twice.
func (c *clients) sender(fresh bool) *loadtest.Client {
	return &loadtest.Client{Address: c.address, Close: fresh, Texts: true}
}

// ask sends a request, which is finished whatever ends, and counts its outcome.
func (c *clients) ask(ctx context.Context, sender *loadtest.Client, a ask, line string) {
	got := sender.Send(ctx, a.method, a.path, line, []byte(line))
	release := a.releaseOf(got)
	c.mu.Lock()
	defer c.mu.Unlock()
	if release == 0 {
		c.failed = append(c.failed, fmt.Sprintf("%+v", got))
		return
	}
	c.answers[release]++
	if a.method == http.MethodPost {
		c.acknowledged[line] = true
	}
}

// releaseOf returns the release that gave a good answer, 0 for no good one.
func (a ask) releaseOf(got loadtest.Sent) int {
	for _, release := range []int{1, 2} {
		if got.Status == a.status && got.Text == fmt.Sprintf(a.answer, release) {
			return release
		}
	}
	return 0
}

// stop ends the load. It fails the test if a request failed, if a release gave no
// answer, or if the app does not have each acknowledged line once.
func (c *clients) stop() {
	c.t.Helper()
	c.end()
	lost, twice := 0, 0
	kept := c.kept()
	for line := range c.acknowledged {
		if kept[line] == 0 {
			lost++
		}
	}
	for _, times := range kept {
		if times > 1 {
			twice++
		}
	}
	c.t.Logf("answers by release: %v; %d lines acknowledged; %d requests failed, %d lines lost, %d kept twice",
		c.answers, len(c.acknowledged), len(c.failed), lost, twice)
	if len(c.failed) > 0 || lost > 0 || twice > 0 {
		c.t.Errorf("failed: %.2000s", strings.Join(c.failed, "\n"))
	}
	if c.answers[1] == 0 || c.answers[2] == 0 || len(c.answers) > 2 {
		c.t.Errorf("not both releases answered: %v", c.answers)
	}
}

// kept returns how often the app has each line; none, if it keeps no lines.
func (c *clients) kept() map[string]int {
	c.t.Helper()
	kept := map[string]int{}
	for _, a := range c.asks {
		if a.path != ledger {
			continue
		}
		got := c.sender(true).Send(c.t.Context(), http.MethodGet, ledger, "", nil)
		if got.Status != http.StatusOK {
			c.t.Fatalf("the ledger: %+v", got)
		}
		for line := range strings.Lines(got.Text) {
			kept[strings.TrimSuffix(line, "\n")]++
		}
	}
	return kept
}
