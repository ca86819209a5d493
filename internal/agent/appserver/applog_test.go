package appserver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestRateAndRetentionStandInJournaldsFiles(t *testing.T) {
	s := someSpec()
	s.Logs = api.AppLogs{Rate: 100, Retention: api.Duration(48 * time.Hour), MaxBytes: 64 << 20}
	state := render(t, "notes", s).State
	for _, path := range []string{"/etc/systemd/journald@foobar-app-notes@.conf", "/etc/systemd/journald@foobar-app-notes-nginx.conf"} {
		content := string(state.File(path).Content)
		for _, line := range []string{"RateLimitIntervalSec=30s", "RateLimitBurst=3000", "SystemMaxUse=67108864", "MaxRetentionSec=172800s", "MaxFileSec=21600s"} {
			if !strings.Contains(content, "\n"+line+"\n") {
				t.Errorf("%s lacks %s:\n%s", path, line, content)
			}
		}
	}
}

func TestAChangeOfLogsRestartsJournaldAlone(t *testing.T) {
	before, after := someSpec(), someSpec()
	after.Logs.Rate = 10
	from, to := render(t, "notes", before), render(t, "notes", after)
	f := newFake(t, from)
	const daemon = "systemd-journald@foobar-app-notes@.service" // nginx's is not active: it reads its file when it starts
	f.units[daemon] = systemd.Status{ActiveState: "active"}
	f.put(to)
	c := change(from, to)
	if impact := f.kind().Impact(c); impact != api.ImpactNone {
		t.Errorf("the impact is %q", impact)
	}
	if err := f.kind().Apply(t.Context(), c, silent); err != nil {
		t.Fatal(err)
	}
	if want := []string{"restart " + daemon}; !slices.Equal(f.calls, want) {
		t.Errorf("it did %q, not %q", f.calls, want)
	}
}

// A release must not restart journald.
func TestBothSlotsHaveOneLogConfiguration(t *testing.T) {
	l, s := layout{name: "notes"}, someSpec()
	blue, green := logConfig(l.appUnit(slotBlue), s.Logs), logConfig(l.appUnit(slotGreen), s.Logs)
	if blue.Path != green.Path || string(blue.Content) != string(green.Content) {
		t.Errorf("%s has\n%s\nor\n%s", blue.Path, blue.Content, green.Content)
	}
}
