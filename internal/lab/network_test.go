package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func TestNetworkPlan(t *testing.T) {
	lb1, web1 := machine(t, "lb1=203.0.113.10,10.0.0.10"), machine(t, "web1=10.0.0.1")
	machines := []Machine{lb1, web1}
	var b strings.Builder
	section := func(title, text string) { fmt.Fprintf(&b, "== %s ==\n%s\n", title, text) }
	section("fabric", fabricCommands())
	section("client", siteCommands(client, 4711))
	section("mgmt", siteCommands(mgmt, 4711))
	section("plug lb1", plugMachine(lb1))
	section("lb1 eth0", networkUnit(lb1, 0))
	section("lb1 eth1", networkUnit(lb1, 1))
	section("hosts of lb1", machineHosts(lb1))
	section("hosts of client", siteHosts(client, defaultWWW(machines), machines))
	section("hosts of mgmt", siteHosts(mgmt, defaultWWW(machines), machines))
	section("cuts", cutRuleset([]Cut{cutOf("web1", "lb1"), cutOf("mgmt", "web1")}))
	golden.Compare(t, "network.golden", b.String())
}

func TestNothingPlannedLeadsOut(t *testing.T) {
	text := fabricCommands() + siteCommands(client, 1) + siteCommands(mgmt, 1) +
		plugMachine(machine(t, "lb1=203.0.113.10,10.0.0.10")) + networkUnit(machine(t, "web1=10.0.0.1"), 0)
	for _, word := range []string{"route", "Gateway", "default", "masquerade", "DHCP"} {
		if strings.Contains(text, word) {
			t.Errorf("the network plan has %q:\n%s", word, text)
		}
	}
}

func TestDefaultWWWIsTheFirstPublicAddress(t *testing.T) {
	web1, lb1 := machine(t, "web1=10.0.0.1"), machine(t, "lb1=10.0.0.10,203.0.113.10")
	if got := defaultWWW([]Machine{web1, lb1}); got != netip.MustParseAddr("203.0.113.10") {
		t.Errorf("www is %s", got)
	}
	if got := defaultWWW([]Machine{web1}); got.IsValid() {
		t.Errorf("www is %s without a public machine", got)
	}
}

func TestCutsBetweenListsEachPairOnce(t *testing.T) {
	got := cutsBetween([]string{"a", "b"}, []string{"b", "a", "c"})
	want := []Cut{{"a", "b"}, {"a", "c"}, {"b", "c"}}
	slices.SortFunc(got, func(x, y Cut) int { return slices.Compare(x[:], y[:]) })
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
