package converge_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// held is a machine on which the undoing of "two" is held, since "one" does not run.
type held struct {
	*machine
	// one and two are what was applied, and what serves.
	one, two *converge.Applied
	// before is the machine before "two".
	before map[string]string
	// starts tells that "one" does again.
	starts bool
}

func holdUndoing(t *testing.T, root string) *held {
	t.Helper()
	h := &held{machine: open(t, root)}
	if err := h.engine.Apply(t.Context(), h.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	h.one, h.before = h.recorded(t), h.snapshot(t)
	two := slot("green", "two", "blue=one")
	applied := converge.NewApplied(h.one, *two)
	h.two = &applied
	h.engine.Hook = func(step string) error {
		if step == "commit" {
			return errors.Join(h.units.Fail(t.Context(), slotUnit("blue")), errors.New("a fault"))
		}
		return nil
	}
	release := h.slotTransaction(h.one, two)
	release.Note, release.Follow = api.Encode("two"), h.back()
	err := h.engine.Apply(t.Context(), release)
	if _, ok := errors.AsType[*converge.HeldError](err); !ok {
		t.Fatalf("it ended with %v", err)
	}
	h.engine.Hook = nil
	return h
}

// back is how "two" is undone.
func (h *held) back() converge.Follow {
	follow := h.slots(h.one, slot("green", "two", "blue=one"))
	activate := follow.Activate
	follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		if undo && !h.starts {
			return &converge.DownError{Unit: slotUnit("blue")}
		}
		return activate(ctx, paths, undo)
	}
	return follow
}

// next is a change that goes on from "two".
func (h *held) next() converge.Transaction {
	t := h.slotTransaction(h.two, slot("red", "three", "green=two"))
	t.Note, t.Leave = api.Encode("three"), true
	t.Beside = converge.State{Units: []converge.Unit{{Name: slotUnit("blue")}}, Links: []converge.Link{{Path: "/srv/edge/blue", Target: "one"}}}
	for _, f := range h.one.State.Files {
		if strings.Contains(f.Path, "blue") {
			t.Beside.Files = append(t.Beside.Files, f)
		}
	}
	return t
}

func (h *held) follow(i converge.Interrupted) converge.Follow {
	if string(i.Note) == string(api.Encode("two")) {
		return h.back()
	}
	return h.next().Follow
}

// TestAChangeThatLeavesAnUndoing is ended by a fault or a kill at each of its steps. What
// serves is one version at every moment. Where the change is undone, the undoing that it
// has left is open again, and ends once what served before starts; where it is committed,
// nobody goes back behind it.
func TestAChangeThatLeavesAnUndoing(t *testing.T) {
	for _, kills := range []bool{false, true} {
		for step := 0; leavesAnUndoing(t, kills, step); step++ {
		}
	}
}

func leavesAnUndoing(t *testing.T, kills bool, step int) (more bool) {
	t.Helper()
	h := holdUndoing(t, tempDir(t))
	left, when := step, "with no fault"
	kill := killAt(step)
	h.engine.Hook = func(name string) error {
		h.served(t, "before the step "+name)
		if kills {
			when = fmt.Sprintf("after a kill before %q", name)
			return kill(name)
		}
		if left--; left == -1 && !strings.HasPrefix(name, "undo:") {
			when, more = fmt.Sprintf("after a fault at %q", name), true
			return errors.New("a fault")
		}
		return nil
	}
	var err error
	if killed(func() { err = h.engine.Apply(t.Context(), h.next()) }) {
		more = true
	}
	_, unfinished := errors.AsType[*converge.UnfinishedError](err)
	committed := h.committed(t) || !more || unfinished
	h.engine.Hook = func(name string) error { h.served(t, when+", before the step "+name); return nil }
	if kills && more {
		if _, err := h.engine.Recover(t.Context(), h.follow); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	err = h.engine.Complete(t.Context(), edge(), h.follow)
	if committed {
		if got := h.served(t, when); got != "three" || err != nil {
			t.Errorf("%s, which is after the commit, %q serves: %v", when, got, err)
		}
		h.nothingOpen(t, when)
		return more
	}
	if _, ok := errors.AsType[*converge.HeldError](err); !ok {
		t.Errorf("%s it ends with %v, and not as held", when, err)
	}
	if open, found := h.engine.Open(edge()); !found || !open.Switched || string(open.Note) != string(api.Encode("two")) {
		t.Errorf("%s the open transaction is %+v, %t", when, open, found)
	}
	if got := h.served(t, when); got != "two" {
		t.Errorf("%s %q serves", when, got)
	}
	h.starts = true
	if err := h.engine.Complete(t.Context(), edge(), h.follow); err != nil {
		t.Errorf("%s, once it starts: %v", when, err)
	}
	h.nothingOpen(t, when)
	same(t, when+", once it starts", h.before, h.snapshot(t))
	return more
}

func (h *held) nothingOpen(t *testing.T, when string) {
	t.Helper()
	if left, err := os.ReadDir(h.path(stateDir + "/transactions/load-balancer")); err != nil || len(left) > 0 {
		t.Errorf("%s there is %v, %v", when, left, err)
	}
}

// TestAnUndoingThatIsLeftTwice is forgotten, and what stands is unsure then.
func TestAnUndoingThatIsLeftTwice(t *testing.T) {
	h := holdUndoing(t, tempDir(t))
	h.engine.Hook = func(step string) error {
		if step == "commit" {
			return errors.Join(h.units.Fail(t.Context(), slotUnit("green")), errors.New("a fault"))
		}
		return nil
	}
	three := h.next()
	three.Follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		if undo {
			return &converge.DownError{Unit: slotUnit("green")}
		}
		return h.next().Follow.Activate(ctx, paths, undo)
	}
	if err := h.engine.Apply(t.Context(), three); err == nil {
		t.Fatal("a fault is no error")
	}
	if got := h.served(t, "while neither of the others runs"); got != "three" {
		t.Errorf("%q serves", got)
	}
	h.engine.Hook = func(step string) error {
		if step == "activate" {
			return errors.New("a fault")
		}
		return nil
	}
	from := converge.NewApplied(h.two, *three.To)
	four := h.slotTransaction(&from, slot("blue", "four", "red=three"))
	four.Leave = true
	if err := h.engine.Apply(t.Context(), four); err == nil {
		t.Fatal("a fault is no error")
	}
	if _, why := h.engine.Unsure(edge()); !strings.Contains(why, "another one went on from there") {
		t.Errorf("it is unsure since %q", why)
	}
	if open, found := h.engine.Open(edge()); !found || string(open.Note) != string(api.Encode("three")) {
		t.Errorf("the open transaction is %+v, %t", open, found)
	}
	h.engine.Hook = nil
	if err := h.engine.Apply(t.Context(), four); err != nil {
		t.Fatal(err)
	}
	if got := h.served(t, "in the end"); got != "four" {
		t.Errorf("in the end %q serves", got)
	}
	if _, why := h.engine.Unsure(edge()); why != "" {
		t.Errorf("in the end it is unsure since %q", why)
	}
	h.nothingOpen(t, "in the end")
}
