package server

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestReadersRunOneAtATimeAndABoundedNumberWaits(t *testing.T) {
	q := dryRuns()
	maxWaiting := cap(q.waiting) - 1
	leave, err := q.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	ended := make(chan error, maxWaiting)
	for range maxWaiting {
		waiting.Go(func() {
			_, err := q.enter(ctx)
			ended <- err
		})
	}
	bound := time.After(time.Minute)
	for len(q.waiting) <= maxWaiting { // all of them wait
		runtime.Gosched()
		select {
		case <-bound:
			t.Fatalf("only %d of %d wait", len(q.waiting)-1, maxWaiting)
		case err := <-ended:
			t.Fatalf("one did not wait: %v", err)
		default:
		}
	}
	if _, err := q.enter(t.Context()); !api.IsProblem(err, api.ProblemBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	waiting.Wait()
	for range maxWaiting {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a waiter whose caller is gone ended with %v", err)
		}
	}
	leave()
	if leave, err = q.enter(t.Context()); err != nil {
		t.Fatalf("after the first has left: %v", err)
	}
	leave()
}

func TestReaderIsReportedAfterAWhile(t *testing.T) {
	q := newQueue("reads", 1, 1, time.Millisecond)
	leave, err := q.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if _, err := q.enter(t.Context()); !api.IsProblem(err, api.ProblemBusy) || !strings.Contains(err.Error(), "has waited for 1ms") {
		t.Errorf("%v", err)
	}
	if len(q.waiting) != 1 {
		t.Errorf("%d are counted, want the one that runs", len(q.waiting))
	}
}

// A reader asks as often as it can. A few of its calls run, and an administrator
// waits for none of them.
func TestReadsOfReadersAreFewAtATime(t *testing.T) {
	b := newBench(t, true)
	var running, most atomic.Int64
	release := make(chan struct{})
	b.Conditions = func(context.Context) []api.Condition {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		<-release
		return nil
	}
	ask := func(role api.Role, path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		b.handler(func(*http.Request) (Caller, error) { return Caller{Actor: "ci", Role: role}, nil }).
			ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		return answer
	}
	limit, places := cap(b.reads.turn), cap(b.reads.waiting)
	var all sync.WaitGroup
	for range places {
		all.Go(func() {
			if answer := ask(api.RoleReader, "/v1/info"); answer.Code != http.StatusOK {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
		})
	}
	bound := time.After(time.Minute)
	for len(b.reads.waiting) < places || running.Load() < int64(min(limit, 1)) {
		runtime.Gosched()
		select {
		case <-bound:
			t.Fatalf("%d wait", len(b.reads.waiting))
		default:
		}
	}
	wantProblem(t, ask(api.RoleReader, "/v1/components"), api.ProblemBusy, "try again in a moment")
	if answer := ask(api.RoleAdmin, "/v1/components"); answer.Code != http.StatusOK {
		t.Errorf("an administrator: %d %s", answer.Code, answer.Body)
	}
	close(release)
	all.Wait()
	if got := most.Load(); got > int64(limit) {
		t.Errorf("%d ran at once, want %d at most", got, limit)
	}
}
