//go:build lab

package acceptance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
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
	t      *testing.T
	url    string
	asks   []ask
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	failed []string
	// answers are counted by release. acknowledged are the lines that the app says
	// it keeps.
	answers      map[int]int
	acknowledged map[string]bool
}

// startClients has four clients send each request, two of them over a new
// connection each time: some 200 requests a second, for two minutes at most.
func startClients(t *testing.T, url string, asks []ask) *clients {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	c := &clients{t: t, url: url, asks: asks, cancel: cancel, answers: map[int]int{}, acknowledged: map[string]bool{}}
	t.Cleanup(c.end)
	for _, a := range asks {
		for client := range 4 {
			transport := &http.Transport{DisableKeepAlives: client%2 == 0}
			c.done.Go(func() {
				defer transport.CloseIdleConnections()
				for n := 0; ctx.Err() == nil; n++ {
					c.ask(context.WithoutCancel(ctx), transport, a, fmt.Sprintf("%s: line %d of client %d", t.Name(), n, client))
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

// ask sends a request, which is finished whatever ends, and counts its outcome.
func (c *clients) ask(ctx context.Context, transport *http.Transport, a ask, line string) {
	release, err := c.send(ctx, transport, a, line)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = append(c.failed, fmt.Sprintf("%s %s: %v", a.method, a.path, err))
		return
	}
	c.answers[release]++
	if a.method == http.MethodPost {
		c.acknowledged[line] = true
	}
}

// send returns the release that gave a good answer.
func (c *clients) send(ctx context.Context, transport *http.Transport, a ask, line string) (release int, _ error) {
	var body io.Reader
	if a.method == http.MethodPost {
		body = strings.NewReader(line)
	}
	text, err := c.request(ctx, transport, a.method, a.path, body, a.status)
	if err != nil {
		return 0, err
	}
	for _, release := range []int{1, 2} {
		if text == fmt.Sprintf(a.answer, release) {
			return release, nil
		}
	}
	return 0, fmt.Errorf("the answer is %q", text)
}

// request returns the text of an answer that has to have a status.
func (c *clients) request(ctx context.Context, transport *http.Transport, method, path string, body io.Reader, status int) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return "", err
	}
	request.GetBody = nil // the transport does not send a POST twice by itself
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = fmt.Errorf("%s: %s", response.Status, content)
	}
	return string(content), err
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
		text, err := c.request(c.t.Context(), &http.Transport{DisableKeepAlives: true}, http.MethodGet, ledger, nil, http.StatusOK)
		if err != nil {
			c.t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			kept[strings.TrimSuffix(line, "\n")]++
		}
	}
	return kept
}
