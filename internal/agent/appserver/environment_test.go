//go:build !lab

package appserver

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The guide's table of what an app finds in its environment has all that the agent sets, and
// what systemd does for a unit like the app's.
func TestGuideListsTheEnvironment(t *testing.T) {
	bySystemd := []string{"HOME", "LOGNAME", "PATH", "SHELL", "USER"} // which environment may set
	forOtherUnits := []string{
		"CREDENTIALS_DIRECTORY", "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "MAINPID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
	}
	want := map[string]bool{}
	for _, name := range slices.Concat(bySystemd, api.ReservedEnvironment(), setByTheAgent(t)) {
		want[name] = !slices.Contains(forOtherUnits, name)
	}
	maps.DeleteFunc(want, func(_ string, listed bool) bool { return !listed })
	wanted, listed := slices.Sorted(maps.Keys(want)), environmentOfGuide(t)
	if !slices.Equal(listed, wanted) {
		t.Errorf("the guide lists\n%q, want\n%q", listed, wanted)
	}
}

// setByTheAgent returns the variables in units and files of environments that the spec has not.
func setByTheAgent(t *testing.T) []string {
	t.Helper()
	l, names := layout{name: "notes"}, []string(nil)
	for _, s := range specs() {
		state := render(t, l.name, s).State
		for line := range strings.Lines(string(state.File(l.appUnitFile(slotBlue)).Content)) {
			if assignment, ok := strings.CutPrefix(line, "Environment="); ok {
				name, _, _ := strings.Cut(assignment, "=")
				names = append(names, name)
			}
		}
		variables, err := parseEnvironment(state.File(l.environment(slotBlue)).Content)
		if err != nil {
			t.Fatal(err)
		}
		for name := range variables {
			if _, ok := s.Environment[name]; !ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// environmentOfGuide returns the variables of the guide's table, in order.
func environmentOfGuide(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../../templates/guides/apps.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "\n| variable | holds |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var names []string
	for row := range strings.Lines(table) {
		for _, found := range regexp.MustCompile("`\\$([A-Z_]+)`").FindAllStringSubmatch(strings.SplitN(row, "|", 3)[1], -1) {
			names = append(names, found[1])
		}
	}
	slices.Sort(names)
	return names
}
