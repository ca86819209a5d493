// Package systemdtest imitates systemd for tests, as far as unit files,
// enabling and running go. It keeps its state on the disk, so that it outlives
// a test process that is killed, as the real one does.
package systemdtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
)

// Where it looks, and what it looks for.
const (
	// Units is where unit files are looked for, below the root.
	Units = "/etc/systemd/system"
	// Broken makes a unit fail when it is started, anywhere in its file.
	Broken = "broken"
)

// Systemd is a machine's service manager. As with the real one a unit file
// counts only after a DaemonReload.
type Systemd struct {
	root, file string
	mu         sync.Mutex
}

// state is what is on the disk.
type state struct {
	// Loaded holds the text of the unit files as they were read last, Running
	// the text that each running unit was started with.
	Loaded  map[string]string `json:"loaded"`
	Running map[string]string `json:"running"`
	Enabled map[string]bool   `json:"enabled"`
	Masked  map[string]bool   `json:"masked"`
	Failed  map[string]bool   `json:"failed"`
	// DropIns are the paths of the files that amend a unit, by its name.
	DropIns map[string][]string `json:"drop_ins"`
	PID     int                 `json:"pid"`
	PIDs    map[string]int      `json:"pids"`
}

// New returns the service manager of the machine whose files lie below root;
// file keeps its state.
func New(root, file string) *Systemd { return &Systemd{root: root, file: file} }

// with gives f the state and keeps what it makes of it.
func (s *Systemd) with(ctx context.Context, f func(*state) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state{
		Loaded: map[string]string{}, Running: map[string]string{}, Enabled: map[string]bool{},
		Masked: map[string]bool{}, Failed: map[string]bool{}, PIDs: map[string]int{},
		DropIns: map[string][]string{},
	}
	data, err := os.ReadFile(s.file)
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	failure := f(&st)
	if data, err = json.Marshal(st); err != nil {
		return err
	}
	if err := os.WriteFile(s.file+".new", data, 0o600); err != nil {
		return err
	}
	return errors.Join(failure, os.Rename(s.file+".new", s.file))
}

// text returns the unit file of a unit or of the template that it comes from.
func (st *state) text(unit string) (string, bool) {
	for _, name := range []string{unit, template(unit)} {
		if text, ok := st.Loaded[name]; ok {
			return text, true
		}
	}
	return "", false
}

func template(unit string) string {
	prefix, rest, ok := strings.Cut(unit, "@")
	if !ok {
		return ""
	}
	return prefix + "@" + path.Ext(rest)
}

// DaemonReload reads all unit files.
func (s *Systemd) DaemonReload(ctx context.Context) error {
	return s.with(ctx, func(st *state) error {
		st.Loaded, st.DropIns = map[string]string{}, map[string][]string{}
		found, err := os.ReadDir(filepath.Join(s.root, Units))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, entry := range found {
			if strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			if unit, ok := strings.CutSuffix(entry.Name(), ".d"); ok && entry.IsDir() {
				if err := s.loadDropIns(st, unit); err != nil {
					return err
				}
				continue
			}
			text, err := os.ReadFile(filepath.Join(s.root, Units, entry.Name()))
			if err != nil {
				return err
			}
			st.Loaded[entry.Name()] = string(text)
		}
		return nil
	})
}

func (s *Systemd) loadDropIns(st *state, unit string) error {
	dir := filepath.Join(Units, unit+".d")
	found, err := os.ReadDir(filepath.Join(s.root, dir))
	for _, entry := range found {
		st.DropIns[unit] = append(st.DropIns[unit], filepath.Join(dir, entry.Name()))
	}
	return err
}

func (st *state) start(verb, unit string) error {
	text, ok := st.text(unit)
	if !ok || st.Masked[unit] {
		return fmt.Errorf("%s %s: the unit is not found or masked", verb, unit)
	}
	if strings.Contains(text, Broken) {
		delete(st.Running, unit)
		delete(st.PIDs, unit)
		st.Failed[unit] = true
		return &systemd.JobError{Verb: verb, Unit: unit, Job: "failed", Result: "exit-code"}
	}
	st.PID++
	st.Running[unit], st.PIDs[unit] = text, st.PID
	delete(st.Failed, unit)
	return nil
}

// Start starts a unit that does not run.
func (s *Systemd) Start(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		if _, ok := st.Running[unit]; ok {
			return nil
		}
		return st.start("start", unit)
	})
}

// Restart starts a unit anew.
func (s *Systemd) Restart(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error { return st.start("restart", unit) })
}

// Reload has a running unit take the text of its file; its PID stays.
func (s *Systemd) Reload(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		text, ok := st.text(unit)
		if _, running := st.Running[unit]; !ok || !running || strings.Contains(text, Broken) {
			return &systemd.JobError{Verb: "reload", Unit: unit, Job: "failed", Result: "exit-code"}
		}
		st.Running[unit] = text
		return nil
	})
}

// Stop stops a unit.
func (s *Systemd) Stop(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		delete(st.Running, unit)
		delete(st.PIDs, unit)
		return nil
	})
}

// Fail has a unit die.
func (s *Systemd) Fail(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		delete(st.Running, unit)
		delete(st.PIDs, unit)
		st.Failed[unit] = true
		return nil
	})
}

// Mask masks a unit.
func (s *Systemd) Mask(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		st.Masked[unit] = true
		return nil
	})
}

// Enable has units start at boot. Their files need not be loaded.
func (s *Systemd) Enable(ctx context.Context, units ...string) error {
	return s.with(ctx, func(st *state) error {
		for _, unit := range units {
			_, err := os.Stat(filepath.Join(s.root, Units, unit))
			if name := template(unit); err != nil && name != "" {
				_, err = os.Stat(filepath.Join(s.root, Units, name))
			}
			if err != nil {
				return fmt.Errorf("enable %s: %w", unit, err)
			}
			delete(st.Masked, unit)
			st.Enabled[unit] = true
		}
		return nil
	})
}

// Disable has units no longer start at boot.
func (s *Systemd) Disable(ctx context.Context, units ...string) error {
	return s.with(ctx, func(st *state) error {
		for _, unit := range units {
			delete(st.Enabled, unit)
		}
		return nil
	})
}

// ResetFailed forgets that a unit failed.
func (s *Systemd) ResetFailed(ctx context.Context, unit string) error {
	return s.with(ctx, func(st *state) error {
		delete(st.Failed, unit)
		return nil
	})
}

// Boot imitates a reboot: what is enabled and loads is started.
func (s *Systemd) Boot(ctx context.Context) error {
	if err := s.DaemonReload(ctx); err != nil {
		return err
	}
	return s.with(ctx, func(st *state) error {
		st.Running, st.PIDs, st.Failed = map[string]string{}, map[string]int{}, map[string]bool{}
		for unit := range st.Enabled {
			_ = st.start("start", unit) // a unit that fails to start is one that has failed
		}
		return nil
	})
}

// Status tells the state of a unit.
func (s *Systemd) Status(ctx context.Context, unit string) (systemd.Status, error) {
	var status systemd.Status
	err := s.with(ctx, func(st *state) error {
		status = st.status(unit)
		return nil
	})
	return status, err
}

func (st *state) status(unit string) systemd.Status {
	status := systemd.Status{LoadState: "not-found", ActiveState: "inactive", SubState: "dead", Result: "success"}
	if _, ok := st.text(unit); ok {
		status.LoadState, status.UnitFileState = "loaded", "disabled"
	}
	status.DropIns = append(slices.Clone(st.DropIns[unit]), st.DropIns[template(unit)]...)
	if st.Enabled[unit] {
		status.UnitFileState = "enabled"
	}
	if st.Masked[unit] {
		status.LoadState, status.UnitFileState = "masked", "masked"
	}
	if _, ok := st.Running[unit]; ok {
		status.ActiveState, status.SubState, status.MainPID = "active", "running", st.PIDs[unit]
	}
	if st.Failed[unit] {
		status.ActiveState, status.SubState, status.Result = "failed", "failed", "exit-code"
	}
	return status
}

// Running returns the text that each running unit was started with.
func (s *Systemd) Running(ctx context.Context) (map[string]string, error) {
	var running map[string]string
	err := s.with(ctx, func(st *state) error {
		running = st.Running
		return nil
	})
	return running, err
}

// Enabled returns the units that start at boot, sorted.
func (s *Systemd) Enabled(ctx context.Context) ([]string, error) {
	var units []string
	err := s.with(ctx, func(st *state) error {
		for unit := range st.Enabled {
			units = append(units, unit)
		}
		slices.Sort(units)
		return nil
	})
	return units, err
}
