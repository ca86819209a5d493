package converge_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const traffic = "/srv/edge/current.sock"

// slot is a state whose traffic goes to one of two units.
func slot(name, text string) *converge.State {
	unit := "app@" + name + ".service"
	return &converge.State{
		Dirs:  []converge.Dir{{Path: "/srv/edge", Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{config(name+".env", text), unitFile(unit, text), config("common.cfg", text)},
		Links: []converge.Link{{Path: traffic, Target: name, Switch: true}, {Path: "/srv/edge/" + name, Target: text}},
		Units: []converge.Unit{{Name: unit}},
	}
}

// slots follows a transaction between two slots: it starts what does not run as
// its file says, and counts how often it was told of a switch.
func (m *machine) slots(from *converge.Applied, to *converge.State) converge.Follow {
	follow := m.follow(from, to)
	follow.Activate = func(ctx context.Context, _ map[string]api.ChangeAction, undo bool) error {
		state := to
		if undo && from == nil {
			return nil
		}
		if undo {
			state = &from.State
		}
		running, err := m.units.Running(ctx)
		if err != nil {
			return err
		}
		unit := state.Units[0].Name
		text, err := os.ReadFile(m.path("/etc/systemd/system/" + unit))
		if err != nil || running[unit] == string(text) {
			return err
		}
		return m.units.Restart(ctx, unit)
	}
	follow.Switched = func(context.Context, map[string]api.ChangeAction, bool) error { return nil }
	return follow
}

func (m *machine) slotTransaction(from *converge.Applied, to *converge.State) converge.Transaction {
	t := m.transaction(from, to)
	t.Follow = m.slots(from, to)
	return t
}

// served fails a test unless the traffic leads to a unit that runs.
func (m *machine) served(t *testing.T, when string) {
	t.Helper()
	target, err := os.Readlink(m.path(traffic))
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	running, err := m.units.Running(context.Background())
	if err != nil {
		t.Error(err)
	}
	if text := running["app@"+target+".service"]; text == "" || strings.Contains(text, "broken") {
		t.Errorf("%s: the traffic leads to %s, which runs %q", when, target, text)
	}
}

func TestTheStepsOfASwitch(t *testing.T) {
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	from := m.recorded(t)
	var steps []string
	fault := ""
	m.engine.Hook = func(step string) error {
		if steps = append(steps, step); step == fault {
			return errors.New("a fault")
		}
		return nil
	}
	wanted := func(text string) []string {
		return strings.Split(strings.TrimSpace(strings.ReplaceAll(text, "\t", "")), "\n")
	}
	to := slot("green", "two")
	forward := wanted(`journal
		stage /etc/foobar/edge/green.env
		stage /etc/systemd/system/app@green.service
		stage /etc/foobar/edge/common.cfg
		begin
		swap /etc/foobar/edge/green.env
		swap /etc/systemd/system/app@green.service
		swap /etc/foobar/edge/common.cfg
		link /srv/edge/green
		enable
		reload units
		activate
		switch /srv/edge/current.sock
		switched
		retire app@blue.service
		remove /etc/foobar/edge/blue.env
		remove /etc/systemd/system/app@blue.service
		remove /srv/edge/blue
		reload units again
		record edge.json
		commit`)
	fault = "commit"
	if err := m.engine.Apply(t.Context(), m.slotTransaction(from, to)); err == nil {
		t.Fatal("a fault is no error")
	}
	if got := steps[:len(forward)]; !slices.Equal(got, forward) {
		t.Errorf("the steps are\n%s", strings.Join(got, "\n"))
	}
	back := wanted(`undo: restore /var/lib/foobar/components/load-balancer/edge.json
		undo: restore /srv/edge/blue
		undo: restore /etc/systemd/system/app@blue.service
		undo: restore /etc/foobar/edge/blue.env
		undo: restore /etc/foobar/edge/common.cfg
		undo: enable
		undo: reload units
		undo: activate
		undo: restore /srv/edge/current.sock
		undo: switched
		undo: retire app@green.service
		undo: restore /srv/edge/green
		undo: restore /etc/systemd/system/app@green.service
		undo: restore /etc/foobar/edge/green.env
		undo: enable
		undo: reload units
		undo: close`)
	if got := steps[len(forward):]; !slices.Equal(got, back) {
		t.Errorf("the way back is\n%s", strings.Join(got, "\n"))
	}
}

func TestARepairedLinkOfTheTrafficIsSwitched(t *testing.T) {
	m := open(t, tempDir(t))
	one := slot("blue", "one")
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, one)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.path(traffic)); err != nil {
		t.Fatal(err)
	}
	touched, err := m.engine.Touched(t.Context(), *m.recorded(t))
	if err != nil || len(touched) != 1 || !touched[traffic] {
		t.Errorf("touched: %v, %v", touched, err)
	}
	if err := m.engine.Apply(t.Context(), m.slotTransaction(m.recorded(t), one)); err != nil {
		t.Fatal(err)
	}
	m.served(t, "after the repair")
}

// TestTrafficIsServedAtEveryStep lets a switch end by a fault or a kill at each of
// its steps, and the way back by a kill at each of its own, again and again. At no
// step does the traffic lead to what does not run, and what is left is one version.
func TestTrafficIsServedAtEveryStep(t *testing.T) {
	base := open(t, tempDir(t))
	if err := base.engine.Apply(t.Context(), base.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	from := base.recorded(t)
	for name, to := range map[string]*converge.State{
		"a good release":        slot("green", "two"),
		"one that does not run": slot("green", "broken"),
		"no release":            func() *converge.State { s := slot("blue", "one"); s.Files[2] = config("common.cfg", "two"); return s }(),
	} {
		t.Run(name, func(t *testing.T) {
			reference := base.copyOf(t)
			before := base.snapshot(t)
			good := reference.engine.Apply(t.Context(), reference.slotTransaction(from, to)) == nil
			after := reference.snapshot(t)
			for step, ended := 0, false; !ended; step++ {
				m := base.copyOf(t)
				ended = end(t, m, from, to, step, func(string) error { return errors.New("a fault") })
				m.served(t, "after a fault")
				what := fmt.Sprintf("after a fault at step %d", step)
				if committed := ended || different(after, m.snapshot(t)) == nil; committed && good {
					same(t, what, after, m.snapshot(t))
				} else {
					same(t, what, before, m.snapshot(t))
				}
			}
			for step, ended := 0, false; !ended; step++ {
				for again := 0; ; again++ {
					m := base.copyOf(t)
					ended = end(t, m, from, to, step, nil)
					if recovered := recoverKilled(t, m, from, to, again); ended || recovered {
						break
					}
					recoverKilled(t, m, from, to, 1<<30)
					m.served(t, "after the recovery")
					if left := m.snapshot(t); different(before, left) != nil && (!good || different(after, left) != nil) {
						t.Errorf("a kill at step %d and one at step %d of the recovery leave neither version:\n%s", step, again, strings.Join(different(before, left), "\n"))
					}
				}
			}
		})
	}
}

// end carries out a transaction that is ended before the given step, by a kill
// unless there is a fault. It reports whether the transaction had fewer steps.
func end(t *testing.T, m *machine, from *converge.Applied, to *converge.State, step int, fault func(string) error) bool {
	t.Helper()
	kill := killAt(step)
	reached := false
	left := step
	m.engine.Hook = func(name string) error {
		m.served(t, "before the step "+name)
		if fault == nil {
			return kill(name)
		}
		if left--; left == -1 && name != "finish" && !strings.HasPrefix(name, "undo:") {
			reached = true
			return fault(name)
		}
		return nil
	}
	wasKilled := killed(func() { _ = m.engine.Apply(t.Context(), m.slotTransaction(from, to)) })
	m.engine.Hook = nil
	return !reached && !wasKilled
}

// recoverKilled begins a new life of the agent, which is killed before the given
// step of its recovery. It reports whether the recovery had fewer steps.
func recoverKilled(t *testing.T, m *machine, from *converge.Applied, to *converge.State, step int) bool {
	t.Helper()
	kill := killAt(step)
	m.engine.Hook = func(name string) error {
		m.served(t, "before the step "+name)
		return kill(name)
	}
	defer func() { m.engine.Hook = nil }()
	return !killed(func() {
		_, err := m.engine.Recover(t.Context(), func(converge.Interrupted) converge.Follow { return m.slots(from, to) })
		if err != nil {
			t.Error(err)
		}
	})
}

// What amends the unit of a slot, or both, must not wait for the next release there.
func TestNothingWaitsForTheOtherSlot(t *testing.T) {
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	dropIns := []string{
		"/run/systemd/system/app@.service.d/limit.conf",
		"/etc/systemd/system/app@green.service.d/override.conf",
	}
	for _, path := range dropIns {
		if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(m.path(path), []byte("[Service]\nNice=19\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.units.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.engine.Apply(t.Context(), m.slotTransaction(m.recorded(t), slot("green", "two"))); err != nil {
		t.Fatal(err)
	}
	for _, path := range dropIns {
		if _, err := os.Lstat(m.path(path)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}
