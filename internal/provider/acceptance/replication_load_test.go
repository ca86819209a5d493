//go:build lab

package acceptance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// load is an app on a machine that uses a database until it is stopped.
type load struct {
	*cluster
	name, from, to string
}

// outcome is what became of a load's attempts.
type outcome struct {
	// accepted are the numbers that were written, or read, in order.
	accepted []int
	// refused counts errors of the server by number; 0 is nobody answered.
	refused map[int]int
	// took is how long each of the accepted ones was under way.
	took []time.Duration
}

// Errors that tell what a load met.
const (
	errReadOnly = 1290 // ER_OPTION_PREVENTS_STATEMENT
	errNoServer = 2003 // CR_CONN_HOST_ERROR
)

// load starts one that writes to, or reads from, the database of a machine.
func (c *cluster) load(what, from, to string) *load {
	c.t.Helper()
	c.loads++
	l := &load{cluster: c, name: fmt.Sprintf("load-%d", c.loads), from: from, to: to}
	c.lab.Exec(from, "sh", "-c", `umask 077; printf %s "$1" >/root/load.py; echo "PASSWORD=$2" >/root/load.env`, "-", content(c.t, "testdata", "load.py"), c.password)
	c.lab.Exec(from, "systemd-run", "--quiet", "--unit="+l.name, "--property=EnvironmentFile=/root/load.env",
		"--property=StandardOutput=append:"+l.log(), "python3", "/root/load.py", what, host(to), l.name)
	return l
}

func (l *load) log() string { return "/root/" + l.name + ".log" }

// soFar returns what has become of the attempts.
func (l *load) soFar() outcome {
	l.t.Helper()
	o := outcome{refused: map[int]int{}}
	for line := range strings.Lines(l.lab.Exec(l.from, "cat", l.log())) {
		var kind string
		var number int
		var took float64 // milliseconds
		_, err := fmt.Sscanf(line, "%s %d %f\n", &kind, &number, &took)
		switch {
		case err != nil:
			continue // it is being written
		case kind == "ok":
			o.accepted = append(o.accepted, number)
			o.took = append(o.took, time.Duration(took*float64(time.Millisecond)))
		default:
			o.refused[number]++
		}
	}
	return o
}

// meets waits until the load has met something new, "ok" or "no ERRNO".
func (l *load) meets(what string) {
	l.t.Helper()
	count := fmt.Sprintf("cat %s 2>/dev/null | grep -c '^%s'", l.log(), what) // 0 as long as there is no log
	before := strings.TrimSpace(l.lab.Exec(l.from, "sh", "-c", count+" || true"))
	l.until(l.from, fmt.Sprintf("a machine whose load meets %q", what), fmt.Sprintf(`[ "$(%s)" -gt %s ]`, count, before))
}

// stop ends the load, if its machine has not gone down with it, and returns
// what became of it.
func (l *load) stop() outcome {
	l.t.Helper()
	l.lab.Exec(l.from, "sh", "-c", "systemctl stop "+l.name+" 2>/dev/null || ! systemctl is-active --quiet "+l.name)
	return l.soFar()
}

// kept fails the test unless the load wrote something, and all that was
// acknowledged to it is on these machines.
func (l *load) kept(o outcome, machines ...string) {
	l.t.Helper()
	if len(o.accepted) == 0 {
		l.t.Errorf("%s wrote nothing: %v", l.name, o.refused)
	}
	for _, machine := range machines {
		rows := l.sql(machine, fmt.Sprintf("SELECT n FROM notes.acknowledged WHERE writer = '%s' ORDER BY n", l.name))
		have := map[int]bool{}
		for text := range strings.FieldsSeq(rows) {
			n, err := strconv.Atoi(text)
			if err != nil {
				l.t.Fatal(err)
			}
			have[n] = true
		}
		if lost := slices.DeleteFunc(slices.Clone(o.accepted), func(n int) bool { return have[n] }); len(lost) > 0 {
			l.t.Errorf("%d of %d writes that were acknowledged to %s are not on %s: %v", len(lost), len(o.accepted), l.name, machine, lost)
		}
	}
}

// none fails the test unless the load was refused as read-only, at least so
// often, and nothing of it was accepted.
func (l *load) none(o outcome, refused int) {
	l.t.Helper()
	if len(o.accepted) > 0 {
		l.t.Errorf("%s wrote %d times to %s: %v", l.name, len(o.accepted), l.to, o.accepted)
	}
	if o.refused[errReadOnly] < refused {
		l.t.Errorf("%s was refused %d times only: %v", l.name, o.refused[errReadOnly], o.refused)
	}
	if rows := l.sql(l.to, fmt.Sprintf("SELECT COUNT(*) FROM notes.acknowledged WHERE writer = '%s'", l.name)); rows != "0" {
		l.t.Errorf("%s rows of %s are on %s", rows, l.name, l.to)
	}
}

// capture is a look at everything that crosses a machine's network.
type capture struct {
	*cluster
	machine string
}

// captured is what a capture has seen.
type captured struct {
	Bytes  int            `json:"bytes"`
	Missed int            `json:"missed"`
	Seen   map[string]int `json:"seen"`
}

// plainly is sent in plain text during each capture, to see that it would be seen.
const plainly = "sent-in-plain-text"

// capture begins to look for texts.
func (c *cluster) capture(machine string, texts ...string) *capture {
	c.t.Helper()
	c.lab.Exec(machine, "sh", "-c", `printf %s "$1" >/root/capture.py; rm -f /root/capture.log`, "-", content(c.t, "testdata", "capture.py"))
	c.lab.Exec(machine, append([]string{"systemd-run", "--quiet", "--unit=capture", "--property=StandardOutput=append:/root/capture.log",
		"python3", "/root/capture.py", plainly}, texts...)...)
	c.until(machine, "a listener", "grep -q ready /root/capture.log")
	return &capture{cluster: c, machine: machine}
}

// stop ends the look from another machine, which sends something in plain text.
func (p *capture) stop(other, address string) captured {
	p.t.Helper()
	p.lab.Exec(other, "bash", "-c", fmt.Sprintf("echo %s >/dev/udp/%s/9", plainly, address))
	p.lab.Exec(p.machine, "systemctl", "stop", "capture")
	var seen captured
	if err := json.Unmarshal([]byte(p.lab.Exec(p.machine, "tail", "-n", "1", "/root/capture.log")), &seen); err != nil {
		p.t.Fatalf("read what was captured: %v", err)
	}
	if seen.Seen[plainly] == 0 {
		p.t.Errorf("not even what was sent in plain text was captured: %+v", seen)
	}
	return seen
}
