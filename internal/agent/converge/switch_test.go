package converge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	traffic = "/srv/edge/current.sock"
	front   = "front.service"
)

func slotUnit(name string) string { return "app@" + name + ".service" }

// slot is a state whose traffic goes to one of two units, through a front that both
// need: it passes on to the slots that its file names, as they run. Beside is what
// it goes on to name of the other slot.
func slot(name, text string, beside ...string) *converge.State {
	unit := slotUnit(name)
	return &converge.State{
		Dirs: []converge.Dir{{Path: "/srv/edge", Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{
			config(name+".env", text), unitFile(unit, text), config("common.cfg", text),
			unitFile(front, strings.Join(append(beside, name+"="+text), " ")),
		},
		Links: []converge.Link{{Path: traffic, Target: name, Switch: true}, {Path: "/srv/edge/" + name, Target: text}},
		Units: []converge.Unit{{Name: unit}, {Name: front}},
	}
}

// follow of slots starts and reloads what does not run as its file says: on the way
// here both units before the switch, on the way back the front after it.
func (m *machine) slots(from *converge.Applied, to *converge.State) converge.Follow {
	target := func(undo bool) *converge.State {
		switch {
		case !undo:
			return to
		case from == nil:
			return nil
		}
		return &from.State
	}
	update := func(ctx context.Context, unit string, do func(ctx context.Context, unit string) error) error {
		running, err := m.units.Running(ctx)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(m.path("/etc/systemd/system/" + unit))
		if err != nil || running[unit] == string(text) {
			return err
		}
		if running[unit] == "" {
			return m.units.Restart(ctx, unit)
		}
		return do(ctx, unit)
	}
	return converge.Follow{
		Activate: func(ctx context.Context, _ map[string]api.ChangeAction, undo bool) error {
			state := target(undo)
			if state == nil {
				return nil
			}
			if err := update(ctx, state.Units[0].Name, m.units.Restart); err != nil || undo {
				return err
			}
			return update(ctx, front, m.units.Reload)
		},
		Switched: func(ctx context.Context, _ map[string]api.ChangeAction, undo bool) error {
			if undo {
				return update(ctx, front, m.units.Reload)
			}
			_, err := m.answer(ctx)
			return err
		},
		Drained: func(_ context.Context, _ time.Time, undo bool) error {
			left := target(!undo)
			if left == nil {
				return nil
			}
			return os.WriteFile(m.path(drained), []byte(left.Units[0].Name), 0o600)
		},
	}
}

// drained is where a machine keeps which unit was drained last.
const drained = stateDir + "/drained"

// carefully is a service manager that fails a test where a unit is stopped that has
// requests in flight, or still gets some.
type carefully struct {
	*systemdtest.Systemd
	t *testing.T
	m *machine
}

func (c carefully) Stop(ctx context.Context, unit string) error {
	if target, err := os.Readlink(c.m.path(traffic)); err == nil && slotUnit(target) == unit {
		c.t.Errorf("%s is stopped, and the traffic leads to it", unit)
	}
	if last, err := os.ReadFile(c.m.path(drained)); err != nil || string(last) != unit {
		c.t.Errorf("%s is stopped, and %q was drained last: %v", unit, last, err)
	}
	return c.Systemd.Stop(ctx, unit)
}

func (m *machine) slotTransaction(from *converge.Applied, to *converge.State) converge.Transaction {
	t := m.transaction(from, to)
	t.Follow = m.slots(from, to)
	return t
}

// answer returns what a request gets: the text of the unit that the traffic leads to,
// if that runs and the front knows it.
func (m *machine) answer(ctx context.Context) (string, error) {
	target, err := os.Readlink(m.path(traffic))
	if err != nil {
		return "", err
	}
	running, err := m.units.Running(context.WithoutCancel(ctx))
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(running[slotUnit(target)])
	if text == "" || !slices.Contains(strings.Fields(running[front]), target+"="+text) {
		return "", fmt.Errorf("the traffic leads to %s, which runs %q behind a front of %q", target, text, running[front])
	}
	return text, nil
}

// served fails a test unless a request gets an answer.
func (m *machine) served(t *testing.T, when string) string {
	t.Helper()
	text, err := m.answer(t.Context())
	if err != nil {
		t.Errorf("%s: %v", when, err)
	}
	return text
}

// committed reports whether there is the journal of a committed transaction.
func (m *machine) committed(t *testing.T) bool {
	t.Helper()
	data, err := os.ReadFile(m.path(stateDir + "/transactions/load-balancer/edge/journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var journal struct{ Committed bool }
	if err := errors.Join(err, json.Unmarshal(data, &journal)); err != nil {
		t.Fatal(err)
	}
	return journal.Committed
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
	to := slot("green", "two", "blue=one")
	forward := wanted(`journal
		stage /etc/foobar/edge/green.env
		stage /etc/systemd/system/app@green.service
		stage /etc/foobar/edge/common.cfg
		stage /etc/systemd/system/front.service
		begin
		swap /etc/foobar/edge/green.env
		swap /etc/systemd/system/app@green.service
		swap /etc/foobar/edge/common.cfg
		swap /etc/systemd/system/front.service
		link /srv/edge/green
		enable
		reload units
		activate
		switch /srv/edge/current.sock
		switched
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
		undo: enable
		undo: reload units
		undo: activate
		undo: restore /srv/edge/current.sock
		undo: restore /etc/systemd/system/front.service
		undo: restore /etc/foobar/edge/common.cfg
		undo: enable
		undo: reload units
		undo: switched
		undo: drain
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

	steps, fault = nil, ""
	finish := wanted(`drain
		retire app@blue.service
		remove /etc/foobar/edge/blue.env
		remove /etc/systemd/system/app@blue.service
		remove /srv/edge/blue
		reload units again
		close`)
	if err := m.engine.Apply(t.Context(), m.slotTransaction(from, to)); err != nil {
		t.Fatal(err)
	}
	if got := steps[len(forward):]; !slices.Equal(got, finish) {
		t.Errorf("after the commit come\n%s", strings.Join(got, "\n"))
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

// TestTrafficIsServedAtEveryStep lets a change end by a fault or a kill at each of its
// steps, and the way back or what is left to finish by a kill at each of its own, again
// and again. A change into the other slot is served at every step; whatever the change,
// what serves afterwards is one version, which after the commit is the new one.
func TestTrafficIsServedAtEveryStep(t *testing.T) {
	base := open(t, tempDir(t))
	if err := base.engine.Apply(t.Context(), base.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	before := base.snapshot(t)
	for name, to := range map[string]*converge.State{
		"a good release":                slot("green", "two", "blue=one"),
		"one that does not run":         slot("green", "broken", "blue=one"),
		"one that the front rejects":    slot("green", "two", "blue=one", "broken"),
		"no release":                    func() *converge.State { s := slot("blue", "one"); s.Files[2] = config("common.cfg", "two"); return s }(),
		"in place":                      slot("blue", "two"),
		"in place, and it does not run": slot("blue", "broken"),
		"in place, with a link that the traffic follows": func() *converge.State {
			s := slot("blue", "two")
			s.Links = append(s.Links, converge.Link{Path: "/srv/edge/static", Target: "two", Switch: true, InPlace: true})
			return s
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := ways{base: base, from: base.recorded(t), to: to, before: before, overlaps: !strings.HasPrefix(name, "in place")}
			reference := base.copyOf(t)
			_ = reference.engine.Apply(t.Context(), reference.slotTransaction(w.from, to)) // some fail
			w.after = reference.snapshot(t)
			for step := 0; w.faultAt(t, step); step++ {
			}
			for step := 0; w.killAt(t, step); step++ {
			}
			for step := 0; w.faultOnTheWayBack(t, step); step++ {
			}
		})
	}
}

// ways are all ways for a change to end.
type ways struct {
	base          *machine
	from          *converge.Applied
	to            *converge.State
	before, after map[string]string
	// overlaps tells that requests are served meanwhile.
	overlaps bool
}

// machine returns one on which a change can begin, with the steps that are taken.
func (w ways) machine(t *testing.T, hook func(step string) error) *machine {
	t.Helper()
	m := w.base.copyOf(t)
	if w.overlaps {
		m.engine.Units = carefully{m.units, t, m}
	}
	m.engine.Hook = func(step string) error {
		if w.overlaps || m.committed(t) {
			w.served(t, m, "before the step "+step)
		}
		return hook(step)
	}
	return m
}

// served fails a test unless one version answers, and after the commit the new one.
func (w ways) served(t *testing.T, m *machine, when string) {
	t.Helper()
	got, want := m.served(t, when), strings.TrimSpace(string(w.to.Files[1].Content))
	if m.committed(t) && got != want {
		t.Errorf("%s, which is after the commit, %q serves and not %q", when, got, want)
	}
}

// ended fails a test unless the change is all done, if it was committed, or all undone.
func (w ways) ended(t *testing.T, m *machine, committed bool, when string) {
	t.Helper()
	m.served(t, when)
	want := w.before
	if committed {
		want = w.after
	}
	same(t, when, want, m.snapshot(t))
	if _, err := os.Stat(m.path(stateDir + "/transactions/load-balancer/edge")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: the journal is left: %v", when, err)
	}
}

// faultAt has a step of the change fail, until there is no such step any more.
func (w ways) faultAt(t *testing.T, step int) bool {
	t.Helper()
	left, name := step, ""
	m := w.machine(t, func(step string) error {
		if left--; left == -1 && !strings.HasPrefix(step, "undo:") {
			name = step
			return errors.New("a fault")
		}
		return nil
	})
	err := m.engine.Apply(t.Context(), m.slotTransaction(w.from, w.to))
	_, unfinished := errors.AsType[*converge.UnfinishedError](err)
	if unfinished {
		m.served(t, "after a fault at "+name)
		if err := w.complete(m); err != nil {
			t.Error(err)
		}
	}
	w.ended(t, m, err == nil || unfinished, "after a fault at "+name)
	return name != ""
}

// faultOnTheWayBack has the change fail at its commit, and a step of the way back fail
// for good, until there is no such step any more. What serves meanwhile runs, and once
// the step works again, the next try ends the undoing.
func (w ways) faultOnTheWayBack(t *testing.T, step int) bool {
	t.Helper()
	left, fails, name := step, "commit", ""
	m := w.machine(t, func(step string) error {
		if strings.HasPrefix(step, "undo:") && name == "" {
			if left--; left == -1 {
				name = step
			}
		}
		if step == fails || name != "" && step == name {
			return errors.New("a fault")
		}
		return nil
	})
	if m.engine.Units = m.units; !w.overlaps { // what is replaced in place, nothing serves for
		return false
	}
	_ = m.engine.Apply(t.Context(), m.slotTransaction(w.from, w.to))
	if name == "" {
		return false
	}
	for range 2 {
		m.served(t, "after a lasting fault at "+name)
		_ = w.complete(m)
	}
	m.served(t, "after a lasting fault at "+name+", tried again")
	m.engine.Hook = nil
	if err := w.complete(m); err != nil {
		t.Errorf("once the fault at %q is gone: %v", name, err)
	}
	m.served(t, "once the fault at "+name+" is gone")
	if _, found := m.engine.Open(edge()); found {
		t.Errorf("once the fault at %q is gone, the journal is left", name)
	}
	if got, err := os.Readlink(m.path(traffic)); err != nil || got != "blue" {
		t.Errorf("once the fault at %q is gone, the traffic leads to %q, %v", name, got, err)
	}
	return true
}

// TestWhatIsUndoneServesOnWhereTheOldDoesNotRun, which ended meanwhile and does not start
// again: until it does, the traffic stays where it can be served, also if the front is
// started again, and wherever the undoing is killed.
func TestWhatIsUndoneServesOnWhereTheOldDoesNotRun(t *testing.T) {
	for kill := 0; undoneWhereTheOldDoesNotRun(t, kill); kill++ {
	}
}

// undoneWhereTheOldDoesNotRun kills the undoing before one of its steps, and reports
// whether it has that many.
func undoneWhereTheOldDoesNotRun(t *testing.T, kill int) (more bool) {
	t.Helper()
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	from, to := m.recorded(t), slot("green", "two", "blue=one")
	before := m.snapshot(t)
	follow := func(converge.Interrupted) converge.Follow { return m.slots(from, to) }
	doesNotStart := func(step string) error {
		if step == "undo: activate" {
			return errors.New("it does not start")
		}
		return nil
	}
	at, when := killAt(kill), "with no kill"
	m.engine.Hook = func(step string) error {
		if step == "commit" {
			if err := m.units.Fail(t.Context(), slotUnit("blue")); err != nil {
				t.Error(err)
			}
			return errors.New("a fault")
		}
		if strings.HasPrefix(step, "undo: ") {
			when = fmt.Sprintf("after a kill before %q", step)
			_ = at(step)
		}
		return doesNotStart(step)
	}
	var err error
	more = killed(func() { err = m.engine.Apply(t.Context(), m.slotTransaction(from, to)) })
	m.engine.Hook = doesNotStart
	if err := m.units.Restart(t.Context(), front); err != nil {
		t.Error(err)
	}
	if got := m.served(t, when+" and a restart of the front"); got != "two" {
		t.Errorf("%s: after a restart of the front %q serves", when, got)
	}
	if more {
		_, err = m.engine.Recover(t.Context(), follow)
	} else if undone, ok := errors.AsType[*converge.UndoneError](err); ok && undone.Undo != nil {
		err = nil
	}
	if err != nil {
		t.Errorf("%s: it ended with %v", when, err)
	}
	if got := m.served(t, when); got != "two" {
		t.Errorf("%s: while the old does not run, %q serves", when, got)
	}
	if open, found := m.engine.Open(edge()); !found || !open.Switched {
		t.Errorf("%s: the transaction is %+v, %t", when, open, found)
	}
	if got := m.recorded(t); string(api.Encode(got)) != string(api.Encode(from)) {
		t.Errorf("%s: the record is %+v", when, got)
	}
	m.engine.Hook = nil
	if err := m.engine.Complete(t.Context(), edge(), follow); err != nil {
		t.Error(err)
	}
	same(t, when+", once the old starts", before, m.snapshot(t))
	return more
}

// TestTheTrafficStaysWhereTheOldEndsAgainAndAgain, though it runs at the moment.
func TestTheTrafficStaysWhereTheOldEndsAgainAndAgain(t *testing.T) {
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	m.engine.Hook = func(step string) error {
		switch step {
		case "commit":
			return errors.New("a fault")
		case "undo: activate":
			return &converge.DownError{Unit: slotUnit("blue")}
		}
		return nil
	}
	err := m.engine.Apply(t.Context(), m.slotTransaction(m.recorded(t), slot("green", "two", "blue=one")))
	if _, held := errors.AsType[*converge.HeldError](err); !held {
		t.Errorf("it ended with %v", err)
	}
	if got := m.served(t, "while the old ends again and again"); got != "two" {
		t.Errorf("%q serves", got)
	}
}

// TestAnUndoingWritesOnlyWhatIsNotAsItWas: what could not be touched need not be.
func TestAnUndoingWritesOnlyWhatIsNotAsItWas(t *testing.T) {
	m := open(t, tempDir(t))
	if err := m.engine.Apply(t.Context(), m.slotTransaction(nil, slot("blue", "one"))); err != nil {
		t.Fatal(err)
	}
	inode := func(path string) uint64 {
		info, err := os.Lstat(m.path(path))
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Ino //nolint:forcetypeassert // it is Linux
	}
	paths := []string{recordPath, "/etc/foobar/edge/common.cfg", "/etc/systemd/system/" + front}
	var before, after []uint64
	for _, path := range paths {
		before = append(before, inode(path))
	}
	m.engine.Hook = func(step string) error {
		if step == "swap /etc/systemd/system/"+front {
			return errors.New("a fault")
		}
		return nil
	}
	err := m.engine.Apply(t.Context(), m.slotTransaction(m.recorded(t), slot("green", "two", "blue=one")))
	if undone, ok := errors.AsType[*converge.UndoneError](err); !ok || undone.Undo != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, path := range paths {
		after = append(after, inode(path))
	}
	if before[0] != after[0] || before[1] == after[1] || before[2] != after[2] {
		t.Errorf("the files were %d and are %d; the second alone had been replaced", before, after)
	}
}

// killAt ends the change before one of its steps, and the next life of the agent
// before each of its own in turn, until there is no such step of the change any more.
func (w ways) killAt(t *testing.T, step int) bool {
	t.Helper()
	for again := 0; ; again++ {
		last := ""
		kill := killAt(step)
		m := w.machine(t, func(step string) error { last = step; return kill(step) })
		if !killed(func() { _ = m.engine.Apply(t.Context(), m.slotTransaction(w.from, w.to)) }) {
			return false
		}
		when, committed := fmt.Sprintf("after a kill before %q", last), m.committed(t)
		kill = killAt(again)
		recovered := !killed(func() { w.recover(t, m) })
		if !recovered {
			when += fmt.Sprintf(" and one before %q", last)
			kill = func(string) error { return nil }
			w.recover(t, m)
		}
		w.ended(t, m, committed, when)
		if recovered {
			return true
		}
	}
}

// recover is the start of the agent's next life.
func (w ways) recover(t *testing.T, m *machine) {
	t.Helper()
	found, err := m.engine.Recover(t.Context(), w.follow(m))
	if err != nil {
		t.Error(err)
	}
	for _, i := range found {
		if i.Err != nil {
			t.Error(i.Err)
		}
	}
	if err := w.complete(m); err != nil {
		t.Error(err)
	}
}

func (w ways) complete(m *machine) error {
	return m.engine.Complete(context.Background(), edge(), w.follow(m))
}

func (w ways) follow(m *machine) func(converge.Interrupted) converge.Follow {
	return func(converge.Interrupted) converge.Follow { return m.slots(w.from, w.to) }
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
		"/etc/systemd/system.control/app@green.service.d/50-CPUWeight.conf",
		"/run/systemd/system.control/app@green.service.d/50-IOWeight.conf",
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
