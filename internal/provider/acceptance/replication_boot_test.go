//go:build lab

package acceptance

import (
	"strings"
)

// losses are the ways in which a machine goes away and comes back.
func (c *cluster) losses() map[string]func(...string) {
	return map[string]func(...string){"reboot": c.lab.Reboot, "power loss": c.lab.Kill}
}

// replicaNeverWrites has an app try to write to the replica through that many
// reboots and power losses of its machine.
func (c *cluster) replicaNeverWrites(rounds int) {
	load := c.load("write", "web1", "web2")
	for what, lose := range c.losses() {
		for round := range rounds {
			c.t.Logf("%s %d of web2", what, round+1)
			load.meets("no 1290")
			lose("web2")
			c.follows()
		}
	}
	load.meets("no 1290")
	load.none(load.stop(), 2*rounds)
	c.settled()
}

// primaryNeedsMajority has the primary go away and come back that many times;
// then it comes back cut off from all others.
func (c *cluster) primaryNeedsMajority(rounds int) {
	load := c.load("write", "web2", "web1")
	for what, lose := range c.losses() {
		for round := range rounds {
			c.t.Logf("%s %d of web1", what, round+1)
			load.meets("ok")
			lose("web1")
			c.opens("web1")
		}
	}
	load.meets("ok")
	written := load.stop()
	load.kept(written, "web1")

	c.t.Log("web1 is cut off from the others")
	c.lab.Partition([]string{"web1"}, []string{"web2", "lb1"})
	c.lab.Kill("web1")
	c.explains("web1", "web2", "lb1")
	c.lab.Heal()
	c.opens("web1")
	c.settled()
	load.kept(written, "web1", "web2")
}

// explains fails the test unless a machine's database is fenced and takes no
// write of an app's, and its agent says why in these words.
func (c *cluster) explains(machine string, words ...string) {
	c.t.Helper()
	c.until(machine, "a machine that says why its database is fenced", "foobar-agent status | grep -q DatabaseFenced")
	load := c.load("write", machine, machine)
	load.meets("no 1290")
	load.none(load.stop(), 1)
	status := c.lab.Exec(machine, "foobar-agent", "status")
	for _, word := range words {
		if !strings.Contains(status, word) {
			c.t.Errorf("the status of %s does not say %q: %s", machine, word, status)
		}
	}
}
