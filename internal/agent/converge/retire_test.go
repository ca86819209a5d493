package converge_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
)

// slowly is a service manager whose units take their time to end, of which it knows.
type slowly struct {
	*systemdtest.Systemd
	takes, allowed time.Duration
}

func (s slowly) Status(ctx context.Context, unit string) (systemd.Status, error) {
	status, err := s.Systemd.Status(ctx, unit)
	status.StopTimeout = s.allowed
	return status, err
}

func (s slowly) Stop(ctx context.Context, unit string) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.takes):
		return s.Systemd.Stop(ctx, unit)
	}
}

// TestAnUndoingEndsWhatFailed however long its unit may take to end. What does not end
// keeps its unit file, does not start at the next boot, and is ended by the next life
// of the agent or before the next change.
func TestAnUndoingEndsWhatFailed(t *testing.T) {
	const never = time.Hour
	created, release := slot("blue", "one"), slot("green", "two", "blue=one")
	for name, c := range map[string]struct {
		existed        bool
		takes, allowed time.Duration
	}{
		"a slow one":             {true, 200 * time.Millisecond, time.Minute},
		"one that does not end":  {true, never, 0},
		"a creation that is too": {false, never, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, tempDir(t))
			to, unit := created, slotUnit("blue")
			if c.existed {
				if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, created)); err != nil {
					t.Fatal(err)
				}
				to, unit = release, slotUnit("green")
			}
			before := m.snapshot(t)
			m.engine.UndoTimeout = 50 * time.Millisecond
			m.engine.Units = slowly{m.units, c.takes, c.allowed}
			m.engine.Hook = func(step string) error {
				if step == "switched" {
					return errors.New("a fault")
				}
				return nil
			}
			from := m.recorded(t)
			err := m.engine.Apply(t.Context(), m.slotTransaction(from, to))
			undone, ok := errors.AsType[*converge.UndoneError](err)
			if !ok {
				t.Fatalf("it ended with %v", err)
			}
			if c.takes != never {
				if undone.Undo != nil {
					t.Error(undone.Undo)
				}
				same(t, "after the undoing", before, m.snapshot(t))
				return
			}
			if failed, ok := errors.AsType[*converge.UnitError](undone.Undo); !ok || !errors.Is(undone.Undo, context.DeadlineExceeded) {
				t.Errorf("the undoing ended with %v, about %+v", undone.Undo, failed)
			}
			if _, err := os.Stat(m.path("/etc/systemd/system/" + unit)); err != nil {
				t.Errorf("the file of a unit that runs: %v", err)
			}
			if enabled, err := m.units.Enabled(t.Context()); err != nil || strings.Contains(strings.Join(enabled, " "), unit) {
				t.Errorf("it starts at boot: %q, %v", enabled, err)
			}
			m = open(t, m.root)
			follow := func(converge.Interrupted) converge.Follow { return m.slots(from, to) }
			if err := m.engine.Complete(t.Context(), edge(), follow); err != nil {
				t.Error(err)
			}
			same(t, "after the next life", before, m.snapshot(t))
			if _, found := m.engine.Open(edge()); found {
				t.Error("the journal is left")
			}
		})
	}
}

// TestADrainBeginsOnce though it is cut off and done again, also by the next life of
// the agent.
func TestADrainBeginsOnce(t *testing.T) {
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := began
	var since []time.Time
	follow := func(m *machine) converge.Follow {
		f := m.slots(m.recorded(t), slot("green", "two", "blue=one"))
		drained := f.Drained
		f.Drained = func(ctx context.Context, at time.Time, undo bool) error {
			since = append(since, at)
			if len(since) < 3 {
				return errors.New("cut off")
			}
			return drained(ctx, at, undo)
		}
		return f
	}
	change := m.slotTransaction(m.recorded(t), slot("green", "two", "blue=one"))
	change.Follow = follow(m)
	m.engine.Clock = func() time.Time { return now }
	_, unfinished := errors.AsType[*converge.UnfinishedError](m.engine.Apply(t.Context(), change))
	for range 2 {
		now = now.Add(time.Minute)
		m = open(t, m.root)
		m.engine.Clock = func() time.Time { return now }
		if !m.committed(t) {
			t.Fatal("the commit is lost")
		}
		found, err := m.engine.Recover(t.Context(), func(converge.Interrupted) converge.Follow { return follow(m) })
		if err != nil || len(found) != 1 || !found[0].Committed {
			t.Errorf("%+v, %v", found, err)
		}
		err = m.engine.Complete(t.Context(), edge(), func(converge.Interrupted) converge.Follow { return follow(m) })
		unfinished = unfinished && (err != nil) == (len(since) < 3)
	}
	if !unfinished || len(since) != 3 || !since[0].Equal(began) || !since[1].Equal(began) || !since[2].Equal(began) {
		t.Errorf("it began at %v", since)
	}
	if _, err := os.Stat(m.path("/etc/systemd/system/" + slotUnit("blue"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old unit's file: %v", err)
	}
}

// killing is a service manager that has to kill what it stops.
type killing struct {
	*systemdtest.Systemd
	result  string
	stopped map[string]bool
}

func (k killing) Status(ctx context.Context, unit string) (systemd.Status, error) {
	status, err := k.Systemd.Status(ctx, unit)
	status.StopTimeout = time.Minute
	if k.stopped[unit] {
		status.Result = k.result
	}
	return status, err
}

func (k killing) Stop(ctx context.Context, unit string) error {
	k.stopped[unit] = true
	return k.Systemd.Stop(ctx, unit)
}

// TestAKilledUnitIsReported if it is one that was replaced, and had to be killed.
func TestAKilledUnitIsReported(t *testing.T) {
	for result, want := range map[string]string{"timeout": slotUnit("blue") + " 1m0s", "success": "", "exit-code": ""} {
		t.Run(result, func(t *testing.T) {
			m := open(t, tempDir(t))
			if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
				t.Fatal(err)
			}
			m.engine.Units = killing{m.units, result, map[string]bool{}}
			change := m.slotTransaction(m.recorded(t), slot("green", "two", "blue=one"))
			got := ""
			change.Follow.Killed = func(unit string, timeout time.Duration) { got += unit + " " + timeout.String() }
			if err := m.engine.Apply(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("%q is reported, not %q", got, want)
			}
		})
	}
}
