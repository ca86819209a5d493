package appserver

import (
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// unitLines returns the lines of the app's unit that begin with one of the words.
func unitLines(t *testing.T, s api.AppServer, words ...string) []string {
	t.Helper()
	l := layout{name: "notes"}
	var found []string
	for line := range strings.Lines(string(appUnitText(l, slotBlue, s).Content())) {
		if name, _, ok := strings.Cut(strings.TrimSpace(line), "="); ok && slices.Contains(words, name) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func TestLimitsOfAnAppStandInItsUnit(t *testing.T) {
	words := []string{"MemoryMax", "CPUQuota", "CPUWeight", "IOWeight", "TasksMax", "LimitNPROC", "LimitNOFILE", "OOMScoreAdjust", "OOMPolicy"}
	given := someSpec()
	given.Limits = api.AppLimits{Memory: "512m", CPU: 150, Tasks: 64, OpenFiles: 256}
	for name, c := range map[string]struct {
		spec api.AppServer
		want []string
	}{
		"the defaults": {someSpec(), []string{
			"MemoryMax=40%", "CPUWeight=50", "IOWeight=50", "TasksMax=1024", "LimitNPROC=1024", "LimitNOFILE=16384", "OOMScoreAdjust=500", "OOMPolicy=kill",
		}},
		"given ones": {given, []string{
			"MemoryMax=512M", "CPUQuota=150%", "CPUWeight=50", "IOWeight=50", "TasksMax=64", "LimitNPROC=64", "LimitNOFILE=256", "OOMScoreAdjust=500", "OOMPolicy=kill",
		}},
	} {
		if got := unitLines(t, c.spec, words...); !slices.Equal(got, c.want) {
			t.Errorf("%s: the unit has\n%s\nnot\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

func TestAnAppHasSharedMemoryOfItsOwn(t *testing.T) {
	got := unitLines(t, someSpec(), "PrivateIPC", "TemporaryFileSystem")
	for _, want := range []string{"PrivateIPC=true", "TemporaryFileSystem=/dev/shm:mode=1777,size=10%"} {
		if !slices.Contains(got, want) {
			t.Errorf("the unit lacks %s; it has %q", want, got)
		}
	}
}
