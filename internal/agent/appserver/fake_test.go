package appserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// fake is a machine with one app server, "notes", whose files are real ones
// below a temporary root and whose programs are make-believe.
type fake struct {
	*testing.T
	root  string
	clock *fakeClock
	units map[string]systemd.Status
	lines []api.LogLine
	// calls are what was asked of systemd, in order.
	calls []string
	// place is the version whose files are in place: what a start would run.
	place converge.Version
	// inForce is the revision that nginx runs.
	inForce string
	// answer is the app's to a health check.
	answer func() (Answer, error)
	// through is what nginx answers to a health check of a slot; answer, if nil.
	through func() (Answer, error)
	// listeners have ports beside the apps.
	listeners map[int][]Holder
	// asked is what it was asked for last, and where.
	asked string
	// onReload is called with each reload, if set.
	onReload func()
	// startError is what systemd answers to a start of the app.
	startError error
	// statusError is what systemd answers to a question.
	statusError error
	// open are the connections to each socket, openError is why they cannot be counted.
	open      map[string]int
	openError error
	// backlogs are those of the sockets, backlogError is why they cannot be read.
	backlogs     map[string]int
	backlogError error
}

const (
	fakeApp   = "foobar-app-notes@blue.service"
	fakeGreen = "foobar-app-notes@green.service"
	fakeNginx = "foobar-app-notes-nginx.service"
)

func newFake(t *testing.T, v converge.Version) *fake {
	t.Helper()
	f := &fake{
		T: t, root: t.TempDir(), clock: &fakeClock{now: time.Unix(1000, 0)}, units: map[string]systemd.Status{},
		answer: func() (Answer, error) { return Answer{Status: 200}, nil },
	}
	f.write("/usr/bin/python3", "\x7fELF", 0o755)
	f.put(v)
	f.start(fakeApp)
	f.start(fakeNginx)
	f.calls = nil
	return f
}

func (f *fake) kind() *Kind {
	return New(Deps{Systemd: f, Journal: f, Prober: f, Clock: f.clock, Root: f.root, Connections: f.connections, Backlog: f.backlog, Holders: f.holders})
}

// holders are the apps that run, each on its port, and the other listeners.
func (f *fake) holders(at netip.AddrPort) []Holder {
	f.Helper()
	wanted := int(at.Port())
	s, err := specOf(f.place.Spec)
	if err != nil {
		f.Fatal(err)
	}
	all := f.listeners[wanted]
	for _, slot := range slots() {
		unit := layout{"notes"}.appUnit(slot)
		if status := f.units[unit]; status.Active() && port(s, slot) == wanted {
			all = append(all, Holder{PID: status.MainPID, Program: "shop", Unit: unit})
		}
	}
	return all
}

func (f *fake) connections(socket string) (int, error) {
	return f.open[strings.TrimPrefix(socket, f.root)], f.openError
}

func (f *fake) backlog(socket string) (int, error) {
	if short, ok := f.backlogs[strings.TrimPrefix(socket, f.root)]; ok {
		return short, f.backlogError
	}
	return minBacklog, f.backlogError
}

func (f *fake) write(path, content string, mode os.FileMode) {
	f.Helper()
	path = filepath.Join(f.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		f.Fatal(err)
	}
}

// put writes the files of a version in place.
func (f *fake) put(v converge.Version) {
	f.Helper()
	f.place = v
	for _, file := range v.State.Files {
		f.write(file.Path, string(file.Content), 0o600)
	}
}

// traffic has the traffic go to a slot.
func (f *fake) traffic(slot string) {
	f.Helper()
	l := layout{"notes"}
	current := filepath.Join(f.root, l.current())
	if err := os.MkdirAll(filepath.Dir(current), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.Remove(current); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.Fatal(err)
	}
	if err := os.Symlink(l.within(l.slot(slot)), current); err != nil {
		f.Fatal(err)
	}
}

const (
	fakePID      = 42
	fakeGreenPID = 44
)

// start runs a unit on the files that are in place.
func (f *fake) start(unit string) {
	f.Helper()
	status := systemd.Status{LoadState: "loaded", ActiveState: "active", SubState: "running", MainPID: fakePID + 1, Result: "success"}
	if unit == fakeNginx {
		f.inForce = recordedRevision(layout{"notes"}, f.place.State)
		f.units[unit] = status
		return
	}
	slot := slotBlue
	status.MainPID = fakePID
	if unit == fakeGreen {
		slot, status.MainPID = slotGreen, fakeGreenPID
	}
	f.units[unit] = status
	s, err := specOf(f.place.Spec)
	if err != nil {
		f.Fatal(err)
	}
	variables, err := parseEnvironment(f.place.State.File(layout{"notes"}.environment(slot)).Content)
	if err != nil {
		f.Fatal(err)
	}
	f.processOf(status.MainPID, layout{"notes"}.release(s.Release.SHA256), revisionVariable+"="+variables[revisionVariable])
}

// process makes up the process of the app in slot blue.
func (f *fake) process(dir, environment string) {
	f.Helper()
	f.processOf(fakePID, dir, environment)
}

func (f *fake) processOf(pid int, dir, environment string) {
	f.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	f.write(proc+"environ", "A=b\x00"+environment+"\x00", 0o600)
	cwd := filepath.Join(f.root, proc, "cwd")
	if err := os.Remove(cwd); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.Fatal(err)
	}
	if err := os.Symlink(dir, cwd); err != nil {
		f.Fatal(err)
	}
}

func (f *fake) Restart(_ context.Context, unit string) error {
	f.calls = append(f.calls, "restart "+unit)
	if unit != fakeNginx && f.startError != nil {
		return f.startError
	}
	f.start(unit)
	return nil
}

func (f *fake) ResetFailed(context.Context, string) error { return nil }

func (f *fake) Reload(_ context.Context, unit string) error {
	f.calls = append(f.calls, "reload "+unit)
	if f.onReload != nil {
		f.onReload()
	}
	f.inForce = recordedRevision(layout{"notes"}, f.place.State)
	return nil
}

func (f *fake) Status(_ context.Context, unit string) (systemd.Status, error) {
	return f.units[unit], f.statusError
}

// carryOut does what a transaction does with the kind.
func (f *fake) carryOut(c converge.Change) {
	f.Helper()
	k := f.kind()
	if err := k.Apply(f.Context(), c, silent); err != nil {
		f.Fatal(err)
	}
	if err := k.Switched(f.Context(), c, silent); err != nil {
		f.Fatal(err)
	}
	if err := k.Drained(f.Context(), c, f.clock.Now(), silent); err != nil {
		f.Fatal(err)
	}
}

func (f *fake) Sync(context.Context, string) error { return nil }

func (f *fake) Lines(_ context.Context, unit string, lines int) ([]api.LogLine, error) {
	var of []api.LogLine
	for _, line := range f.lines {
		if line.Unit == unit {
			of = append(of, line)
		}
	}
	return of[max(0, len(of)-lines):], nil
}

func (f *fake) Get(_ context.Context, endpoint Endpoint, path string) (Answer, error) {
	if strings.HasSuffix(endpoint.Address, "admin.sock") {
		if strings.HasPrefix(path, "/slot/") {
			f.asked = path
			if f.through != nil {
				return f.through()
			}
			return f.answer()
		}
		return Answer{Status: 200, Body: f.inForce}, nil
	}
	f.asked = path + " on " + endpoint.Address
	return f.answer()
}

func silent(api.Phase, string, ...any) {}
