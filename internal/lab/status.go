package lab

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A MachineState is what a machine is doing.
type MachineState string

// The states of a machine.
const (
	On     MachineState = "on"
	Paused MachineState = "paused"
	Off    MachineState = "off"
)

// A Status is what the lab looks like.
type Status struct {
	Name       string                   `json:"name"`
	Up         bool                     `json:"up"` // the networks are there
	Deployment string                   `json:"deployment"`
	WWW        string                   `json:"www,omitempty"` // what www.foobar.test resolves to
	Machines   map[string]MachineStatus `json:"machines"`
	Cuts       []Cut                    `json:"cuts"`
}

// A MachineStatus is what the lab knows of a machine from outside of it.
type MachineStatus struct {
	State       MachineState `json:"state"`
	Public      string       `json:"public,omitempty"`
	Private     string       `json:"private,omitempty"`
	Incarnation int          `json:"incarnation"`
	// Boot counts the boots since the machine was switched on; 0 while it is off.
	Boot int `json:"boot"`
	// Agent is the SHA-256 of the machine's agent; empty if it has none.
	Agent string `json:"agent,omitempty"`
}

// Status looks at the lab. It takes no lock and changes nothing.
func (l *Lab) Status() (Status, error) {
	records, err := l.records()
	if err != nil {
		return Status{}, err
	}
	status := Status{Name: l.Name, Deployment: l.Deployment, Machines: map[string]MachineStatus{}}
	if status.Up, err = l.wired(); err != nil {
		return Status{}, err
	}
	if status.Cuts, err = l.cuts(); err != nil {
		return Status{}, err
	}
	www, err := l.www(machinesOf(records))
	if err != nil {
		return Status{}, err
	}
	if www.IsValid() {
		status.WWW = www.String()
	}
	for _, r := range records {
		if status.Machines[r.Name], err = l.machineStatus(r); err != nil {
			return Status{}, err
		}
	}
	return status, nil
}

func (l *Lab) machineStatus(r record) (MachineStatus, error) {
	status := MachineStatus{State: Off, Incarnation: r.Incarnation, Agent: r.Agent}
	if addr, ok := r.On(Public); ok {
		status.Public = addr.String()
	}
	if addr, ok := r.On(Private); ok {
		status.Private = addr.String()
	}
	run, on, err := l.running(r.Name)
	if err != nil || !on {
		return status, err
	}
	status.State, status.Boot = On, run.boot
	frozen, err := run.group.frozen()
	if frozen {
		status.State = Paused
	}
	return status, err
}

// Write prints the status for people.
func (s Status) Write(out io.Writer) error {
	if len(s.Machines) == 0 {
		_, err := fmt.Fprintf(out, "lab %s has no machines\n", s.Name)
		return err
	}
	var rows strings.Builder
	rows.WriteString("MACHINE\tSTATE\tPUBLIC\tPRIVATE\tINCARNATION\tBOOT\tAGENT\n")
	for _, name := range sortedNames(s.Machines) {
		m := s.Machines[name]
		fmt.Fprintf(&rows, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n",
			name, m.State, orDash(m.Public), orDash(m.Private), m.Incarnation, m.Boot, orDash(shortSum(m.Agent)))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(table, rows.String())
	if err = errors.Join(err, table.Flush()); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	for _, c := range s.Cuts {
		if _, err := fmt.Fprintf(out, "%s and %s are cut off from each other\n", c[0], c[1]); err != nil {
			return fmt.Errorf("print status: %w", err)
		}
	}
	return nil
}

func orDash(text string) string {
	if strings.TrimSpace(text) == "" {
		return "-"
	}
	return text
}

// shortSum is enough of a hash for people to compare.
func shortSum(sum string) string { return sum[:min(len(sum), 12)] }

func sortedNames(machines map[string]MachineStatus) []string {
	return slices.Sorted(maps.Keys(machines))
}
