//go:build lab

package acceptance

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

func TestDriftIsNamedWhereItIsAndRepaired(t *testing.T) {
	s := newStack(t)
	s.apply()
	releases, ok := s.state()[web1]["release"].(map[string]any)
	if !ok {
		t.Fatal("the state has no release")
	}
	checksum, _ := releases["sha256"].(string)
	drift := func(place string) tfjsonpath.Path { return tfjsonpath.New("drift").AtMapKey(place) }
	const (
		haproxy = "/etc/foobar/load-balancer/notes/haproxy.cfg"
		nginx   = "/etc/foobar/app-server/notes/nginx.conf"
		unit    = "foobar-app-notes-nginx.service"
	)
	for _, c := range []struct {
		name, machine, command string
		// address and at are where the plan shows it.
		address string
		at      tfjsonpath.Path
	}{
		{
			"a hand edit of the HAProxy config", "lb1", "sed -i 's/timeout connect 400/timeout connect 401/' " + haproxy,
			lb1, drift(haproxy).AtMapKey("attributes").AtSliceIndex(0),
		},
		{
			"a weight changed through the runtime socket", "lb1", "echo 'set server web/web1 weight 50' | socat - /run/foobar-lb-notes/admin.sock",
			lb1, tfjsonpath.New("backends").AtMapKey("web").AtMapKey("servers").AtMapKey("web1").AtMapKey("weight"),
		},
		{"a stopped unit", "web1", "systemctl stop " + unit, web1, drift(unit)},
		{"a deleted release", "web1", "rm -rf /srv/notes/releases/*", web1, drift("/srv/notes/releases/" + checksum[:12])},
		{
			"an edited nginx file", "web2", "sed -i 's/client_max_body_size .*/client_max_body_size 1;/' " + nginx,
			web2, drift(nginx).AtMapKey("attributes").AtSliceIndex(0),
		},
	} {
		t.Log(c.name)
		s.lab.Exec(c.machine, "sh", "-c", c.command)
		p := s.plan()
		p.updates(c.address)
		p.differs(c.address, c.at)
		s.apply()
		s.settled()
	}
}
