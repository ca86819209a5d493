//go:build lab

package lab_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A hostView is what a lab must leave as it was.
type hostView struct {
	Mounts    int
	Links     []string
	Processes []string // of this lab, which has none when it is down
}

func (v hostView) equal(other hostView) bool {
	return v.Mounts == other.Mounts && slices.Equal(v.Links, other.Links) && slices.Equal(v.Processes, other.Processes)
}

func observeHost(t *testing.T) hostView {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	view := hostView{Mounts: strings.Count(string(mounts), "\n")}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		view.Links = append(view.Links, link.Name)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		// One that ends meanwhile is not the lab's any more.
		// Those that have ended and are not taken away count.
		if text, err := os.ReadFile(line); err == nil && strings.Contains(string(text), "/foobar-lab/labtest") {
			view.Processes = append(view.Processes, line)
		}
	}
	return view
}

func hostAddresses(t *testing.T) []netip.Addr {
	t.Helper()
	found, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var addrs []netip.Addr
	for _, addr := range found {
		prefix, err := netip.ParsePrefix(addr.String())
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, prefix.Addr())
	}
	return addrs
}

// destinations returns where the routes of "ip -json route" lead.
func destinations(t *testing.T, text string) []netip.Prefix {
	t.Helper()
	var routes []struct {
		Dst string `json:"dst"`
	}
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		t.Fatalf("read routes %q: %v", text, err)
	}
	var prefixes []netip.Prefix
	for _, route := range routes {
		prefix, err := netip.ParsePrefix(route.Dst)
		if addr, aerr := netip.ParseAddr(route.Dst); aerr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			t.Errorf("a route leads to %q", route.Dst)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}
