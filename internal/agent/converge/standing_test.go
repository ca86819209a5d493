package converge_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
)

// side is what a state of [slot] can be on one side: its traffic leads there directly,
// or through a port.
func side(name string) converge.State {
	state := slot(name, "")
	return converge.State{
		Files: []converge.File{{Path: state.Files[0].Path, Secret: true}, {Path: state.Files[1].Path}},
		Links: []converge.Link{
			{Path: traffic, Target: name, Switch: true}, {Path: traffic, Target: name + "-port", Switch: true}, {Path: "/srv/edge/" + name},
		},
		Units: state.Units[:1],
	}
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
			serving, beside, err := m.engine.Standing(t.Context(), applied, []converge.State{side("blue"), side("green")})
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
			_, beside, err := m.engine.Standing(t.Context(), from.State, []converge.State{side("blue"), side("green")})
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
