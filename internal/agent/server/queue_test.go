package server

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestReadersRunOneAtATimeAndABoundedNumberWaits(t *testing.T) {
	q := newQueue()
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
