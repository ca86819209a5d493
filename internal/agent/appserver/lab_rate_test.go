//go:build lab

package appserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestRateIsKeptAndLossReported has an app write more than its log takes, and less after
// the rate was raised under it.
func TestRateIsKeptAndLossReported(t *testing.T) {
	s, began := newStand(t), time.Now()
	spec := s.spec(s.upload(map[string]entry{"main.py": {talker, 0o644}}), 8081)
	spec.Logs = api.AppLogs{Rate: 200, Retention: api.Duration(2 * time.Hour), MaxBytes: 64 << 20}
	s.apply("talker", spec, nil)
	before := s.condition("talker", "LogsDropped") // of a former run on this machine
	s.burst()
	if n := strings.Count(s.journal(talkerApp, began), "xxxxxxxxxx\n"); n == 0 || n > 30*200*3 {
		t.Errorf("of a burst of 200000 lines %d are there, though 6000 are taken", n)
	}
	// journald says it with the first line that it takes again.
	s.eventually("the loss is reported", func() bool {
		s.say(t)
		shown := s.condition("talker", "LogsDropped")
		return shown != before && strings.Contains(shown, " lines of "+talkerApp)
	})

	pid := s.pid(talkerApp)
	spec.Logs = api.DefaultAppServer().Logs
	s.apply("talker", spec, nil)
	if now := s.pid(talkerApp); now != pid {
		t.Errorf("the app was restarted: %d became %d", pid, now)
	}
	raised := time.Now()
	s.say(t)
	s.eventually("the app's pipe reaches the journal", func() bool { return strings.Contains(s.journal(talkerApp, raised), "said so") })
	s.burst()
	if n := strings.Count(s.journal(talkerApp, raised), "xxxxxxxxxx\n"); n != 200000 {
		t.Errorf("of a burst of 200000 lines %d are there after the rate was raised", n)
	}
}

// say has the talker write a line.
func (s *stand) say(t *testing.T) {
	t.Helper()
	path := filepath.Join("/run/foobar-app-talker-blue", "say")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.eventually("the app says it", func() bool {
		_, err := os.Stat(path)
		return os.IsNotExist(err)
	})
}
