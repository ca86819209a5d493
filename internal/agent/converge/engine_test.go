package converge_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func unitFile(name, text string) converge.File {
	return converge.File{Path: "/etc/systemd/system/" + name, Mode: 0o644, Owner: "root", Group: "root", Content: []byte(text + "\n")}
}

func config(name, text string) converge.File {
	return converge.File{Path: "/etc/foobar/edge/" + name, Mode: 0o640, Owner: "root", Group: "edge", Content: []byte(text)}
}

// pair is a state of two units and a configuration each.
func pair(text string) *converge.State {
	return &converge.State{
		Users: []converge.User{{Name: "edge"}},
		Dirs:  []converge.Dir{{Path: "/etc/foobar/edge", Mode: 0o750, Owner: "root", Group: "edge"}},
		Files: []converge.File{config("a.cfg", text), unitFile("a.service", text), unitFile("b@.service", "constant")},
		Units: []converge.Unit{{Name: "a.service"}, {Name: "b@blue.service"}},
	}
}

func TestApplyPutsAStateInPlaceAndTakesItAway(t *testing.T) {
	m := open(t, tempDir(t))
	before := m.snapshot(t)
	one := m.apply(t, nil, pair("one"))
	after := m.snapshot(t)
	for key, want := range map[string]string{
		"/etc/foobar/edge":       "drwxr-x---",
		"/etc/foobar/edge/a.cfg": "-rw-r----- one",
		"running a.service":      "one\n",
		"running b@blue.service": "constant\n",
		"enabled":                "a.service b@blue.service",
	} {
		if after[key] != want {
			t.Errorf("%s is %q, want %q", key, after[key], want)
		}
	}
	m.apply(t, one, nil)
	gone := m.snapshot(t)
	for _, shared := range []string{"/etc", "/etc/foobar", "/etc/systemd", "/etc/systemd/system"} {
		delete(gone, shared) // directories that nobody asked for by name stay
	}
	same(t, "after the deletion", before, gone)
}

func TestApplyOfTheSameStateDoesNothing(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	var steps []string
	m.engine.Hook = func(step string) error { steps = append(steps, step); return nil }
	m.apply(t, one, pair("one"))
	if want := []string{"journal", "users", "begin", "activate", "record edge.json", "commit", "close"}; !slices.Equal(steps, want) {
		t.Errorf("the steps are %q, want %q", steps, want)
	}
}

func TestNewServesBeforeOldIsTakenAway(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	two := &converge.State{Files: []converge.File{unitFile("c.service", "two")}, Units: []converge.Unit{{Name: "c.service"}}}
	tx := m.transaction(one, two)
	follow := tx.Follow.Activate
	tx.Follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
		running, err := m.units.Running(ctx)
		if err != nil {
			return err
		}
		if _, ok := running["a.service"]; !ok {
			t.Error("the old unit was stopped before the new one was active")
		}
		if paths["/etc/systemd/system/c.service"] != api.ChangeCreate || paths["/etc/foobar/edge/a.cfg"] != api.ChangeDelete {
			t.Errorf("the paths are %v", paths)
		}
		return follow(ctx, paths, undo)
	}
	if err := m.engine.Apply(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	after := m.snapshot(t)
	if after["enabled"] != "c.service" || after["running a.service"] != "" || after["/etc/foobar/edge/a.cfg"] != "" {
		t.Errorf("the old state is still there: %v", after)
	}
}

func TestUnitsAreRetiredInReverse(t *testing.T) {
	m := open(t, tempDir(t))
	var retired []string
	fault := "activate"
	m.engine.Hook = func(step string) error {
		if step == fault {
			return errors.New("a fault")
		}
		if _, unit, found := strings.Cut(step, "retire "); found {
			retired = append(retired, unit)
		}
		return nil
	}
	if err := m.engine.Apply(t.Context(), m.transaction(nil, pair("one"))); err == nil {
		t.Error("a creation with a fault works")
	}
	fault = ""
	m.apply(t, m.apply(t, nil, pair("one")), nil)
	want := []string{"b@blue.service", "a.service"}
	if want = append(want, want...); !slices.Equal(retired, want) {
		t.Errorf("retired by the undoing of a creation and by a deletion: %q, want %q", retired, want)
	}
}

func TestFailureBringsBackWhatReallyStood(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	if err := os.WriteFile(m.path("/etc/foobar/edge/a.cfg"), []byte("by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := m.snapshot(t)
	err := m.engine.Apply(t.Context(), m.transaction(one, pair("broken")))
	undone, ok := errors.AsType[*converge.UndoneError](err)
	if !ok || undone.Undo != nil || !strings.Contains(err.Error(), "exit-code") {
		t.Fatalf("the error is %v", err)
	}
	same(t, "after the rollback", before, m.snapshot(t))
}

func TestAnEngineWhoseFilesWereNotSwappedIsLeftAlone(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	before := m.snapshot(t)
	full := errors.New("no space left")
	m.engine.Hook = func(step string) error {
		if strings.HasPrefix(step, "stage /etc/systemd/system/a.service") {
			return full
		}
		return nil
	}
	tx := m.transaction(one, pair("two"))
	tx.Follow.Activate = func(context.Context, map[string]api.ChangeAction, bool) error {
		t.Error("the engine was called")
		return nil
	}
	if err := m.engine.Apply(t.Context(), tx); !errors.Is(err, full) {
		t.Fatalf("the error is %v", err)
	}
	same(t, "after the rollback", before, m.snapshot(t))
}

func TestEndOfTheContextIsUndone(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	before := m.snapshot(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.engine.Hook = func(step string) error {
		if step == "activate" {
			cancel()
		}
		return nil
	}
	err := m.engine.Apply(ctx, m.transaction(one, pair("two")))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	same(t, "after the rollback", before, m.snapshot(t))
}

func TestAFailureWhileGoingBackIsReportedAndTriedAgain(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	before := m.snapshot(t)
	broken := errors.New("no space left")
	m.engine.Hook = func(step string) error {
		if step == "activate" || step == "undo: restore /etc/foobar/edge/a.cfg" {
			return broken
		}
		return nil
	}
	err := m.engine.Apply(t.Context(), m.transaction(one, pair("two")))
	undone, ok := errors.AsType[*converge.UndoneError](err)
	if !ok || !errors.Is(undone.Undo, broken) {
		t.Fatalf("the error is %v", err)
	}
	m.engine.Hook = nil
	ended, err := m.engine.Recover(t.Context(), func(converge.Interrupted) converge.Follow { return m.follow(one, nil) })
	if err != nil || len(ended) != 1 || ended[0].Err != nil || ended[0].Committed || string(ended[0].Note) != `"a note"` {
		t.Fatalf("recovered %+v, %v", ended, err)
	}
	same(t, "after the second try", before, m.snapshot(t))
}

func TestNothingIsTouchedWithoutAJournal(t *testing.T) {
	m := open(t, tempDir(t))
	before := m.snapshot(t)
	if err := os.WriteFile(m.path(stateDir+"/transactions"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := m.engine.Apply(t.Context(), m.transaction(nil, pair("one")))
	if _, undone := errors.AsType[*converge.UndoneError](err); err == nil || undone {
		t.Fatalf("the error is %v", err)
	}
	same(t, "without a journal", before, m.snapshot(t))
}

func TestTreesAreKeptForAWhile(t *testing.T) {
	m := open(t, tempDir(t))
	var applied *converge.Applied
	for _, text := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		sum := m.upload(t, map[string]string{"version": text})
		applied = m.apply(t, applied, release(sum))
	}
	found, err := os.ReadDir(m.path("/srv/edge/releases"))
	if err != nil || len(found) != converge.KeepTrees {
		t.Errorf("%d trees stand, %v; want %d", len(found), err, converge.KeepTrees)
	}
	m.apply(t, applied, nil)
	if _, err := os.Stat(m.path("/srv/edge")); !os.IsNotExist(err) {
		t.Errorf("the directory of the releases is left: %v", err)
	}
}

func release(sum string) *converge.State {
	path := "/srv/edge/releases/" + sum[:12]
	return &converge.State{
		Dirs: []converge.Dir{
			{Path: "/srv/edge", Mode: 0o755, Owner: "root", Group: "root"},
			{Path: "/srv/edge/releases", Mode: 0o755, Owner: "root", Group: "root"},
		},
		Trees: []converge.Tree{{Path: path, SHA256: sum, MaxBytes: 1 << 20, Source: "/release/sha256"}},
		Links: []converge.Link{{Path: "/srv/edge/current", Target: path, Source: "/release/sha256"}},
	}
}

func TestABadArchiveIsAProblemOfItsPlaceInTheSpec(t *testing.T) {
	m := open(t, tempDir(t))
	state := release(m.upload(t, map[string]string{"large": strings.Repeat("x", 2<<20)}))
	err := m.engine.Apply(t.Context(), m.transaction(nil, state))
	problem := api.AsProblem(err)
	if problem.Type != api.ProblemInvalid || len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/release/sha256" {
		t.Errorf("the problem is %v", problem)
	}
	if _, err := os.Stat(m.path("/srv")); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}

// TestEveryEndIsOneOfBoth takes random states, has somebody change things by
// hand, and lets the change to another random state fail or be killed at some
// step, and the recovery too. Whatever happens, what is left is exactly what
// stood before or exactly what was wanted.
func TestEveryEndIsOneOfBoth(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := open(t, tempDir(t))
		sums := []string{m.upload(t, map[string]string{"app": "one", "lib/x": "x"}), m.upload(t, map[string]string{"app": "two"})}
		var from *converge.Applied
		first, to := randomState(random, sums), randomState(random, sums)
		if first != nil {
			from = m.apply(t, nil, first)
		}
		vandalize(t, m, random, from)
		if random.IntN(3) == 0 {
			to = first // a repair
		}

		reference := m.copyOf(t)
		steps := 0
		reference.engine.Hook = func(string) error { steps++; return nil }
		reference.apply(t, from, to)

		before, after := m.snapshot(t), reference.snapshot(t)
		for range 4 {
			check(t, m.copyOf(t), from, to, random.IntN(steps), random, before, after)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// check lets a transaction end before the given step and checks what is left.
func check(t *testing.T, m *machine, from *converge.Applied, to *converge.State, step int, random *rand.Rand, before, after map[string]string) {
	t.Helper()
	switch random.IntN(2) {
	case 0:
		left := step
		m.engine.Hook = func(name string) error {
			if left--; left == -1 {
				return errors.New("fault at " + name)
			}
			return nil
		}
		err := m.engine.Apply(t.Context(), m.transaction(from, to))
		if _, unfinished := errors.AsType[*converge.UnfinishedError](err); unfinished {
			err = m.engine.Complete(t.Context(), edge(), func(converge.Interrupted) converge.Follow { return m.follow(from, to) })
		}
		if err == nil {
			before = after
		}
	default:
		m.engine.Hook = killAt(step)
		killed(func() { _ = m.engine.Apply(t.Context(), m.transaction(from, to)) })
		again := open(t, m.root)
		again.engine.Hook = killAt(random.IntN(6))
		recover := func() []converge.Interrupted {
			follow := func(converge.Interrupted) converge.Follow { return again.follow(from, to) }
			ended, err := again.engine.Recover(t.Context(), follow)
			if err = errors.Join(err, again.engine.Complete(t.Context(), edge(), follow)); err != nil {
				t.Error(err)
			}
			return ended
		}
		killed(func() { recover() })
		again.engine.Hook = nil
		for _, i := range recover() {
			if i.Err != nil {
				t.Error(i.Err)
			}
		}
		if different(after, again.snapshot(t)) == nil {
			before = after
		}
	}
	same(t, "what is left", before, m.snapshot(t))
	if left, err := os.ReadDir(m.path(stateDir + "/transactions/load-balancer")); err == nil && len(left) > 0 {
		if _, err := os.Stat(m.path(stateDir + "/transactions/load-balancer/edge/journal.json")); err == nil && m.engine.Hook == nil {
			t.Error("the journal is left")
		}
	}
}

// randomState returns one of many states, sometimes none.
func randomState(random *rand.Rand, sums []string) *converge.State {
	if random.IntN(6) == 0 {
		return nil
	}
	state := &converge.State{}
	some := func() bool { return random.IntN(2) == 0 }
	text := func() string { return []string{"one", "two", "three"}[random.IntN(3)] }
	if some() {
		modes := []os.FileMode{0o755, 0o750}
		state.Dirs = []converge.Dir{{Path: "/etc/foobar/edge", Mode: modes[random.IntN(2)], Owner: "root", Group: "root"}}
	}
	for _, name := range []string{"a.cfg", "b.cfg", "deep/c.cfg"} {
		if some() {
			state.Files = append(state.Files, config(name, text()))
		}
	}
	for _, name := range []string{"a.service", "b.service"} {
		if some() {
			state.Files = append(state.Files, unitFile(name, text()))
			state.Units = append(state.Units, converge.Unit{Name: name})
		}
	}
	if some() {
		tree := release(sums[random.IntN(len(sums))])
		state.Trees, state.Links = tree.Trees, tree.Links
	}
	return state
}

// vandalize changes some of what was applied by hand.
func vandalize(t *testing.T, m *machine, random *rand.Rand, applied *converge.Applied) {
	t.Helper()
	if applied == nil {
		return
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range applied.State.Files {
		unit := strings.HasSuffix(f.Path, ".service")
		switch random.IntN(5) {
		case 0:
			must(os.WriteFile(m.path(f.Path), []byte("by hand\n"), 0o600))
			if unit {
				must(m.units.DaemonReload(t.Context()))
				must(m.units.Restart(t.Context(), f.Path[strings.LastIndex(f.Path, "/")+1:]))
			}
		case 1:
			must(os.Chmod(m.path(f.Path), 0o604))
		case 2:
			if !unit {
				must(os.Remove(m.path(f.Path)))
			}
		case 3:
			if !unit {
				must(os.Remove(m.path(f.Path)))
				must(os.Symlink("/elsewhere", m.path(f.Path)))
			}
		}
	}
	for _, tree := range applied.State.Trees {
		switch random.IntN(3) {
		case 0:
			must(os.RemoveAll(m.path(tree.Path)))
		case 1:
			must(os.WriteFile(m.path(tree.Path+"/app"), []byte("patched"), 0o600))
		}
	}
}
