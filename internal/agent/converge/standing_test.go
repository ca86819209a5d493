package converge_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// side is what a state of [slot] can be on one side: its traffic leads there directly,
// or through a port.
func side(name string) converge.State {
	state := slot(name, "")
	return converge.State{
		Dirs:  []converge.Dir{{Path: "/srv/edge/sides/" + name}},
		Files: []converge.File{{Path: state.Files[0].Path, Secret: true}, {Path: state.Files[1].Path}},
		Links: []converge.Link{
			{Path: traffic, Target: name, Switch: true}, {Path: traffic, Target: name + "-port", Switch: true}, {Path: "/srv/edge/" + name},
		},
		Units: state.Units[:1],
	}
}

// sides are both, and where their trees are.
func sides() converge.Sides {
	return converge.Sides{Each: []converge.State{side("blue"), side("green")}, Trees: "/srv/edge/trees"}
}

func TestWhatStandsIsReadFromTheLinks(t *testing.T) {
	lead := func(m *machine, target string) error {
		if err := os.MkdirAll(filepath.Dir(m.path(traffic)), 0o755); err != nil {
			return err
		}
		if err := os.Remove(m.path(traffic)); err != nil && !os.IsNotExist(err) {
			return err
		}
		if target == "" {
			return nil
		}
		return os.Symlink(target, m.path(traffic))
	}
	blue, green := slotUnit("blue"), slotUnit("green")
	for name, c := range map[string]struct {
		upset  func(m *machine) error
		lost   bool
		target string
		// serving and beside are the units and files of the slots.
		serving, beside []string
	}{
		"as it was applied":    {func(*machine) error { return nil }, false, "blue", []string{blue}, nil},
		"the link is gone":     {func(m *machine) error { return lead(m, "") }, false, "blue", []string{blue}, nil},
		"the link leads away":  {func(m *machine) error { return lead(m, "/tmp") }, false, "blue", []string{blue}, nil},
		"the record is lost":   {func(*machine) error { return nil }, true, "blue", []string{blue}, nil},
		"both are lost":        {func(m *machine) error { return lead(m, "") }, true, "", nil, []string{blue}},
		"another is left":      {func(m *machine) error { return m.run(t, "green") }, false, "blue", []string{blue}, []string{green}},
		"another took over":    {func(m *machine) error { _ = m.run(t, "green"); return lead(m, "green-port") }, false, "green-port", []string{green}, []string{blue}},
		"another, record lost": {func(m *machine) error { _ = m.run(t, "green"); return lead(m, "green") }, true, "green", []string{green}, []string{blue}},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, tempDir(t))
			if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
				t.Fatal(err)
			}
			if err := c.upset(m); err != nil {
				t.Fatal(err)
			}
			applied := m.recorded(t).State
			if c.lost {
				applied = converge.State{}
			}
			serving, beside, err := m.engine.Standing(t.Context(), applied, sides())
			if err != nil {
				t.Fatal(err)
			}
			if got := serving.Link(traffic); got != c.target {
				t.Errorf("the traffic leads to %q, want %q", got, c.target)
			}
			common := map[bool][]string{false: {front}, true: nil}[c.lost]
			if got, want := unitNames(serving), append(common, c.serving...); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%q serve, want %q", got, want)
			}
			if got := unitNames(beside); !slices.Equal(got, c.beside) {
				t.Errorf("%q stand beside, want %q", got, c.beside)
			}
			for _, unit := range c.serving {
				if path := "/etc/systemd/system/" + unit; len(serving.File(path).Content) == 0 || len(beside.File(path).Path) > 0 {
					t.Errorf("%s is not what serves", path)
				}
			}
		})
	}
}

func unitNames(s converge.State) []string {
	var names []string
	for _, u := range s.Units {
		names = append(names, u.Name)
	}
	slices.Sort(names)
	return names
}

// run has a slot run that nothing has recorded.
func (m *machine) run(t *testing.T, name string) error {
	t.Helper()
	state := slot(name, "left")
	for _, f := range state.Files[:2] {
		if err := os.WriteFile(m.path(f.Path), f.Content, 0o600); err != nil {
			return err
		}
	}
	if err := m.units.DaemonReload(t.Context()); err != nil {
		return err
	}
	return m.units.Start(t.Context(), slotUnit(name))
}

// lose has a slot and the trees hold what nobody has recorded, and directories of
// somebody else's hold something, which is nobody's business.
func (m *machine) lose(t *testing.T, name string) (lost, others []string) {
	t.Helper()
	side := "/srv/edge/sides/" + name
	lost = []string{side + "/a", side + "/static/b/c", "/srv/edge/trees/lost", "/srv/edge/trees/.new.foobar-new"}
	others = []string{side + "/others/a", "/srv/edge/trees/file"}
	for _, dir := range []string{side + "/static/b", lost[2] + "/inner", lost[3], filepath.Dir(others[0])} {
		if err := os.MkdirAll(m.path(dir), 0o755); err != nil { //nolint:gosec // as it is on a machine
			t.Fatal(err)
		}
	}
	for _, link := range []string{lost[0], lost[1], others[0]} {
		if err := os.Symlink("/srv/edge/trees/lost", m.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(m.path(filepath.Dir(others[0])), 0o777), os.WriteFile(m.path(others[1]), nil, 0o600)); err != nil { //nolint:gosec // likewise
		t.Fatal(err)
	}
	return lost, others
}

// there returns those of the paths that stand.
func (m *machine) there(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		_, err := os.Lstat(m.path(p))
		return err != nil
	})
}

// What the directories of a slot and of the trees hold, and nobody has recorded, goes:
// the links before traffic can get to them. What is taken back brings them back.
func TestWhatNobodyRecordedGoesFromTheDirectories(t *testing.T) {
	for _, left := range []string{"blue", "green"} {
		for name, to := range map[string]*converge.State{
			"the other slot": slot("green", "two", "blue=one"), "the same": slot("blue", "one"), "nothing": nil, "what is taken back": slot("green", "broken", "blue=one"),
		} {
			t.Run(name+", left in "+left, func(t *testing.T) {
				m := open(t, tempDir(t))
				if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
					t.Fatal(err)
				}
				lost, others := m.lose(t, left)
				from := m.recorded(t)
				_, beside, err := m.engine.Standing(t.Context(), from.State, sides())
				if err != nil {
					t.Fatal(err)
				}
				tx := m.transaction(from, to)
				if to != nil {
					tx.Follow = m.slots(from, to)
				}
				activate := tx.Follow.Activate
				tx.Follow.Activate = func(ctx context.Context, paths map[string]api.ChangeAction, undo bool) error {
					if there := m.there(lost[:2]); !undo && len(there) > 0 {
						t.Errorf("when it starts, %q are there", there)
					}
					return activate(ctx, paths, undo)
				}
				tx.Beside = beside
				err = m.engine.Apply(t.Context(), tx)
				want := []string{}
				if name == "what is taken back" {
					want = lost
				}
				if (err != nil) != (len(want) > 0) {
					t.Fatal(err)
				}
				if there := m.there(lost); !slices.Equal(there, want) {
					t.Errorf("%q are left, want %q", there, want)
				}
				if there := m.there(others); !slices.Equal(there, others) {
					t.Errorf("of others' there are left only %q", there)
				}
			})
		}
	}
}

// Trees of the versions before stay as ever.
func TestKeptTreesAreRecorded(t *testing.T) {
	m := open(t, tempDir(t))
	var from *converge.Applied
	var trees []string
	for i := range converge.KeepTrees {
		sum := m.upload(t, map[string]string{"file": strconv.Itoa(i)})
		trees = append(trees, "/srv/edge/trees/"+sum[:12])
		from = m.apply(t, from, &converge.State{Trees: []converge.Tree{{Path: trees[i], SHA256: sum, MaxBytes: 1 << 20}}})
	}
	if err := os.Mkdir(m.path("/srv/edge/trees/lost"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, beside, err := m.engine.Standing(t.Context(), from.State, sides())
	if err != nil {
		t.Fatal(err)
	}
	tx := m.transaction(from, &from.State)
	tx.Beside = beside
	if err := m.engine.Apply(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if there := m.there(append(trees, "/srv/edge/trees/lost")); !slices.Equal(there, trees) {
		t.Errorf("left are %q, want %q", there, trees)
	}
}

// What stands beside what was applied goes, whatever comes: another state, the same or
// none; and an undoing neither starts nor enables it.
func TestWhatNobodyRecordedGoes(t *testing.T) {
	for name, c := range map[string]struct {
		to   *converge.State
		want []string
	}{
		"into its slot":       {slot("green", "two", "blue=one"), []string{slotUnit("green"), front}},
		"the same":            {slot("blue", "one"), []string{slotUnit("blue"), front}},
		"nothing":             {nil, nil},
		"what is taken back":  {slot("green", "broken", "blue=one"), []string{slotUnit("blue"), front}},
		"another in its slot": {slot("blue", "two"), []string{slotUnit("blue"), front}},
	} {
		t.Run(name, func(t *testing.T) {
			m := open(t, tempDir(t))
			if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
				t.Fatal(err)
			}
			if err := m.run(t, "green"); err != nil {
				t.Fatal(err)
			}
			from := m.recorded(t)
			_, beside, err := m.engine.Standing(t.Context(), from.State, sides())
			if err != nil {
				t.Fatal(err)
			}
			tx := m.transaction(from, c.to)
			if c.to != nil {
				tx.Follow = m.slots(from, c.to)
			}
			tx.Beside = beside
			if err := m.engine.Apply(t.Context(), tx); (err != nil) != (name == "what is taken back") {
				t.Fatal(err)
			}
			running, err := m.units.Running(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			enabled, err := m.units.Enabled(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, unit := range []string{slotUnit("blue"), slotUnit("green"), front} {
				if want := slices.Contains(c.want, unit); (running[unit] != "") != want || slices.Contains(enabled, unit) != want {
					t.Errorf("%s runs %q, and %q are enabled", unit, running[unit], enabled)
				}
			}
		})
	}
}
