package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// A record is what the lab remembers of a machine while it is off: the cloud's
// side of it.
type record struct {
	Machine

	// Incarnation counts the machines that had this name; it is part of the
	// machine's identity.
	Incarnation int `json:"incarnation"`
	// Disk names the directory of what the machine has written.
	Disk int `json:"disk"`
	// Base and Layer are the keys of the root filesystem that the disk lies on.
	Base  string `json:"base"`
	Layer string `json:"layer"`
	// Agent is the SHA-256 of the agent that the machine has now; empty: none.
	Agent string `json:"agent"`
}

func (c Config) disk(r record) string {
	return filepath.Join(c.machineDir(r.Name), fmt.Sprintf("disk-%d", r.Disk))
}

func (c Config) recordPath(name string) string {
	return filepath.Join(c.machineDir(name), "machine.json")
}

func (c Config) saveRecord(r record) error { return saveJSON(c.recordPath(r.Name), r) }

// loadRecord reads what is known of a machine.
func (c Config) loadRecord(name string) (record, error) {
	var r record
	found, err := loadJSON(c.recordPath(name), &r)
	if err != nil {
		return record{}, err
	}
	if !found {
		return record{}, c.unknownMachine(name)
	}
	return r, nil
}

// unknownMachine is the error for a name that no machine has.
func (c Config) unknownMachine(name string) error {
	records, err := c.records()
	if err != nil {
		return err
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("there is no machine %q: the lab %q is down; start it with  lab up NAME=ADDRESS …", name, c.Name)
	}
	return fmt.Errorf("there is no machine %q: the lab has %s", name, strings.Join(names, ", "))
}

// records returns what is known of all machines, by name.
func (c Config) records() ([]record, error) {
	entries, err := os.ReadDir(c.machinesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	var records []record
	for _, entry := range entries {
		var r record
		// A directory without a record is one that a killed run had begun.
		found, err := loadJSON(c.recordPath(entry.Name()), &r)
		if err != nil {
			return nil, err
		}
		if found {
			records = append(records, r)
		}
	}
	return records, nil
}

func machinesOf(records []record) []Machine {
	machines := make([]Machine, len(records))
	for i, r := range records {
		machines[i] = r.Machine
	}
	return machines
}

// zone is what the user set about names; it ends with the lab.
type zone struct {
	WWW netip.Addr `json:"www"`
}

func (c Config) zonePath() string { return filepath.Join(c.StateDir, "zone.json") }

// www returns what the public name resolves to.
func (c Config) www(machines []Machine) (netip.Addr, error) {
	var z zone
	if _, err := loadJSON(c.zonePath(), &z); err != nil {
		return netip.Addr{}, err
	}
	if z.WWW.IsValid() {
		return z.WWW, nil
	}
	return defaultWWW(machines), nil
}

func saveJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// loadJSON reads a file that the lab wrote; found is false if there is none.
func loadJSON(path string, value any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read lab state: %w", err)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return false, fmt.Errorf("read lab state %s: %w", path, err)
	}
	return true, nil
}

// lockFile takes an exclusive lock. waiting is called once if somebody else has it.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of a lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	shown := false
	err = poll(ctx, func() (bool, error) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err == nil, err
		}
		if !shown {
			shown = true
			waiting()
		}
		return false, nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
