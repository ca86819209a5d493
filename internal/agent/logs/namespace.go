package logs

import (
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
)

// Namespace returns the journal namespace of a component's unit, where no other
// unit's lines are: a unit that floods its log drives out its own lines alone.
// The instances of a template share one, named for the template ("NAME@").
func Namespace(unit string) string {
	name := strings.TrimSuffix(unit, ".service")
	if template, _, instance := strings.Cut(name, "@"); instance {
		return template + "@"
	}
	return name
}

// Service returns the lines of a component's unit, in its section Service, that
// say where its log goes, how much it may write, and that it reaches no other log.
//
// journald lets every account write to the socket of every namespace, and a flood
// there would drive out that unit's lines. So the unit sees nothing of /run/systemd
// but its own journal, the socket of sd_notify and the addresses of name servers,
// which /etc/resolv.conf may link to.
//
// The rate is above what an app writes at an error of its own (200,000 lines at
// once) and below what journald takes (25,000 lines of 200 bytes a second on one
// core), so that a flood ends in lines that are counted, see [Journal.Dropped].
// journald admits up to 2.75 times as much while the namespace has room
// (journald.conf(5)).
func Service(unit string) []string {
	lines := Namespaced(unit)
	return slices.Insert(lines, 1, "LogRateLimitIntervalSec=30s", "LogRateLimitBurst=250000")
}

// Config returns journald's configuration of a unit's namespace. It is bounded as
// the machine's own journal is (images/files/journald).
func Config(unit string) converge.File {
	t := header(unit)
	t.Own("SystemMaxUse=128M", "RuntimeMaxUse=32M")
	return t.File(ConfigPath(unit), 0o644)
}
