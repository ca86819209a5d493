//go:build lab

package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// machines are those of the example stack.
func machines() []string { return []string{"lb1", "web1", "web2"} }

// units returns what has to run on a machine of the stack.
func (s *stack) units(machine string) []string {
	s.t.Helper()
	if machine == "lb1" {
		return []string{"foobar-agent.service", "foobar-lb-notes.service"}
	}
	return []string{"foobar-agent.service", "foobar-app-notes-nginx.service", s.app(machine)}
}

// app returns the unit of the app in the slot that a machine's traffic goes to.
func (s *stack) app(machine string) string {
	s.t.Helper()
	slot := strings.TrimSpace(s.lab.Exec(machine, "readlink", "/srv/notes/current"))
	return "foobar-app-notes@" + strings.TrimPrefix(slot, "slots/") + ".service"
}

// runs fails the test unless all units of the stack are active and none of any
// machine has failed.
func (s *stack) runs() {
	s.t.Helper()
	for _, machine := range machines() {
		if state, err := s.lab.TryExec(machine, append([]string{"systemctl", "is-active"}, s.units(machine)...)...); err != nil {
			s.t.Errorf("not all of %v run on %s: %s", s.units(machine), machine, strings.Fields(state))
		}
		if failed := s.lab.Exec(machine, "systemctl", "list-units", "--state=failed", "--no-legend", "--plain"); failed != "" {
			s.t.Errorf("units of %s have failed: %s", machine, failed)
		}
	}
}

// listMarks lists what a component can leave behind: files, of which the
// agent's own memory does not count, units, listening ports. The directory of a
// kind, such as /etc/foobar/app-server, is that of all its components and stays.
// Its log outlives a component, and so does the journald of its namespace, which
// systemd ends half a minute after the last line; what an app has written, until it
// is purged; and what plans were answered, until the machine boots.
const listMarks = `
{ find /etc /opt /run /srv /var -xdev \( -path /var/lib/foobar -o -path '/etc/foobar/*' \) -prune -o \( -path '*foobar*' -o -path '*notes*' \) -print
find /etc/foobar -mindepth 2
find /var/lib/foobar -type f \( -path '*/components/*' -o -path '*/secrets/*' -o -path '*/transactions/*' \)
systemctl list-units --all --no-legend --plain 'foobar-*' | sed 's/^ *\([^ ]*\) .*/unit \1/'
ss -Hltnx | awk '{ print "listens at " $5 }'
} | grep -vE '^(/var/lib/foobar-app|/run/foobar/check/(readers-)?answers)(/|$)|(/var/log/journal/|/run/systemd/journal\.)[^/]*foobar-|/invocation:systemd-journald[^/]*@foobar-'
`

// marks returns what there is of components on each machine.
func (s *stack) marks() map[string][]string {
	s.t.Helper()
	marks := map[string][]string{}
	for _, machine := range machines() {
		lines := strings.Split(strings.TrimSpace(s.lab.Exec(machine, "sh", "-c", listMarks)), "\n")
		slices.Sort(lines)
		marks[machine] = slices.Compact(lines)
	}
	return marks
}

// left fails the test if there is more on the machines than there was before.
func (s *stack) left(before map[string][]string) {
	s.t.Helper()
	for machine, lines := range s.marks() {
		for _, line := range lines {
			if _, known := slices.BinarySearch(before[machine], line); !known {
				s.t.Errorf("left on %s: %s", machine, line)
			}
		}
	}
}

// keys returns the pins of the machines' keys as the state has them.
func (s *stack) keys() map[string]any {
	s.t.Helper()
	state, keys := s.state(), map[string]any{}
	for _, machine := range machines() {
		keys[machine] = state[fmt.Sprintf("foobar_machine.vm[%q]", machine)]["key"]
	}
	return keys
}

// operations returns what a machine's journal knows, oldest first.
func (s *stack) operations(machine string) []api.Operation {
	s.t.Helper()
	text := s.lab.Exec(machine, "sh", "-c", "cat /var/lib/foobar/operations/*.json")
	var operations []api.Operation
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var operation api.Operation
		err := decoder.Decode(&operation)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			s.t.Fatalf("read the journal of %s: %v\n%s", machine, err, text)
		}
		operations = append(operations, operation)
	}
	slices.SortFunc(operations, func(a, b api.Operation) int { return a.Created.Compare(b.Created) })
	return operations
}

// once fails the test unless each machine was asked for just so many changes,
// of all its components together, and has carried out each of them once.
func (s *stack) once(changes map[string]int) {
	s.t.Helper()
	for _, machine := range machines() {
		operations := s.operations(machine)
		if len(operations) != changes[machine] {
			s.t.Errorf("%s carried out %d operations, not %d: %s", machine, len(operations), changes[machine], api.Encode(operations))
		}
		generations := map[api.ID]int64{}
		for i, operation := range operations {
			generations[operation.Component]++
			if operation.State != api.OperationApplied || operation.Runs != 1 || operation.Generation != generations[operation.Component] {
				s.t.Errorf("operation %d on %s was not carried out just once: %s", i+1, machine, api.Encode(operation))
			}
		}
	}
}
