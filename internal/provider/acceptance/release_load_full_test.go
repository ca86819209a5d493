//go:build lab && full

package acceptance

import (
	"fmt"
	"strings"
	"testing"
)

// TestTwentyReleasesUnderLoad applies them to two servers at once: no request of
// the clients fails, is lost or is served twice.
func TestTwentyReleasesUnderLoad(t *testing.T) {
	l := newReleaseStack(t, healthyTime, `min_healthy_time = "1s"`)
	l.pack("0")
	l.apply()
	l.settled()
	load := l.start(steady())
	for n := 1; n <= 20; n++ {
		l.pack(fmt.Sprint(n))
		l.apply()
		l.shows(fmt.Sprint(n))
	}
	load.nothing("20 releases")
	l.settled()
	l.runs()
}

// TestBadReleasesUnderLoad: whatever is wrong with a release, no request of the
// clients fails, is lost or is served twice, and the release before it serves.
func TestBadReleasesUnderLoad(t *testing.T) {
	l := newReleaseStack(t, healthyTime, `min_healthy_time = "12s"`)
	l.pack("good")
	l.apply()
	l.settled()
	for name, bad := range map[string]struct{ badly, why string }{
		"crashes at its start":                            {`raise SystemExit("no database today")`, "no database today"},
		"hangs at its start":                              {`import time; time.sleep(3600)`, "good answers in a row (health_check.successes) were not reached within 1m"},
		"answers 500":                                     {`HEALTH = 500`, "500"},
		"dies ten seconds after it became healthy":        {`import os, threading; threading.Timer(10.5, lambda: os._exit(3)).start()`, "it was healthy"},
		"becomes unhealthy ten seconds after it was that": {`import threading; threading.Timer(10.5, lambda: globals().update(HEALTH=500)).start()`, "did not stay so"},
	} {
		l.pack(name, bad.badly)
		load := l.start(steady())
		why := l.refused("apply", "-auto-approve", "-parallelism=10")
		if !strings.Contains(why, bad.why) {
			t.Errorf("%s: the error does not say %q: %s", name, bad.why, why)
		}
		l.shows("good")
		load.nothing("a release that " + name)
		l.pack("good")
		l.plan().empty()
		l.runs()
	}
}

// TestAwkwardReleasesUnderLoad: a release that ignores SIGTERM, which its successor
// waits for, and changes that are a release though the artifact stays.
func TestAwkwardReleasesUnderLoad(t *testing.T) {
	l := newReleaseStack(t)
	l.pack("good")
	l.apply()
	l.settled()
	deaf := `import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)`
	for _, change := range []struct {
		what  string
		badly string
		edits []string
	}{
		{what: "a release that ignores SIGTERM", badly: deaf},
		{what: "the release after it"},
		{what: "an environment change", edits: []string{environment, `environment = { NOTES_SERVER = name, EDIT = "yes" }`}},
		{what: "a change of secrets", edits: []string{`var.database_password_version`, `7`}},
		{what: "a change of the command", edits: []string{`"main.py"`, `"-u", "main.py"`}},
	} {
		l.pack(change.what, change.badly)
		if change.edits != nil {
			l.pack("the release after it")
		}
		l.alter(change.edits...)
		load := l.start(steady())
		before := l.app("web1")
		l.apply()
		if l.app("web1") == before {
			t.Errorf("%s was no release", change.what)
		}
		load.nothing(change.what)
		l.settled()
		l.runs()
	}
}
