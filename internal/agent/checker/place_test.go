package checker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAFewCheckersRunAtOnceAndTheOthersWait(t *testing.T) {
	const n = 3
	dir := t.TempDir()
	var running, most atomic.Int64
	var all sync.WaitGroup
	for range 5 * n {
		all.Go(func() {
			leave, err := place(t.Context(), dir, n)
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), running.Add(1)))
			running.Add(-1)
			leave()
		})
	}
	all.Wait()
	if got := most.Load(); got > n {
		t.Errorf("%d ran at once, want %d at most", got, n)
	}
}

func TestCheckerWithoutAPlaceWaitsAsLongAsItsCaller(t *testing.T) {
	dir := t.TempDir()
	leave, err := place(t.Context(), dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := place(ctx, dir, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	leave()
	if leave, err = place(t.Context(), dir, 1); err != nil {
		t.Fatalf("after the first has left: %v", err)
	}
	leave()
}

func TestPlacesFitTheMemory(t *testing.T) {
	for memory, want := range map[uint64]int{0: 1, 512 << 20: 1, 2 << 30: 2, 4 << 30: 4, 64 << 30: maxPlaces} {
		if got := places(memory); got != want {
			t.Errorf("%d MiB: %d places, want %d", memory>>20, got, want)
		}
	}
}
