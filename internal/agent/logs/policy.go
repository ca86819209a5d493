package logs

import (
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Policy is what is kept of a unit's log.
type Policy struct {
	// Rate is how many lines a second the unit may write, counted over 30 s.
	Rate int
	// Bytes is how much disk the log may take, Retention how long a line is kept.
	Bytes     int64
	Retention time.Duration
}

// rateInterval is what [Policy.Rate] is counted over: an app's burst passes that is no
// more than half a minute's lines.
const rateInterval = 30

// Namespaced is [Service] without a rate: journald takes that of [ConfigOf], which a
// change of needs no restart of the unit.
func Namespaced(unit string) []string {
	return []string{
		"LogNamespace=" + Namespace(unit),
		"TemporaryFileSystem=/run/systemd:ro", "BindPaths=/run/systemd/notify", "BindReadOnlyPaths=-/run/systemd/resolve",
	}
}

// ConfigOf returns journald's configuration of a unit's namespace by a policy that the
// spec has at a place. journald reads it when it starts, see [Daemon].
//
// journald drops a whole file when the first line in it is too old; a file takes an
// eighth of the time, and a day at most.
func ConfigOf(unit string, p Policy, at api.Pointer) converge.File {
	t := header(unit)
	t.From(at.At("rate"), "RateLimitIntervalSec=%ds", rateInterval)
	t.From(at.At("rate"), "RateLimitBurst=%d", p.Rate*rateInterval)
	t.From(at.At("max_bytes"), "SystemMaxUse=%d", p.Bytes)
	t.Own("RuntimeMaxUse=32M")
	t.From(at.At("retention"), "MaxRetentionSec=%ds", int64(p.Retention/time.Second))
	t.From(at.At("retention"), "MaxFileSec=%ds", int64(min(p.Retention/8, 24*time.Hour)/time.Second))
	return t.File(ConfigPath(unit), 0o644)
}

// Daemon returns the unit of the journald that keeps a unit's log.
func Daemon(unit string) string { return "systemd-journald@" + Namespace(unit) + ".service" }

// ConfigPath is where journald has the configuration of a unit's namespace.
func ConfigPath(unit string) string { return "/etc/systemd/journald@" + Namespace(unit) + ".conf" }

func header(unit string) *converge.Text {
	if template, _, instance := strings.Cut(unit, "@"); instance { // the file is the same for all of them
		unit = template + "@.service"
	}
	t := &converge.Text{}
	t.Own("# Log of "+unit+", written by foobar-agent. An edit shows as drift and goes with the next apply.",
		"[Journal]",
		"Storage=persistent")
	return t
}
