package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "www", "web-1", "a1", "a--b", strings.Repeat("a", MaxNameLength)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":                                   "is not a name",
		"A":                                  "is not a name",
		"1a":                                 "is not a name",
		"-a":                                 "is not a name",
		"a-":                                 "is not a name",
		"a_b":                                "is not a name",
		"a.b":                                "is not a name",
		"a/b":                                "is not a name",
		"..":                                 "is not a name",
		"a b":                                "is not a name",
		"a\n":                                "is not a name",
		"a@b":                                "is not a name",
		"é":                                  "is not a name",
		strings.Repeat("a", MaxNameLength+1): "has 25 characters; at most 24",
	} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want …%s…", name, err, want)
		}
	}
}

func TestClaimsOverlap(t *testing.T) {
	claim := func(network, address string, port int) Claim {
		return Claim{Network: network, Address: address, Port: port}
	}
	all := claim("tcp", "*", 80)
	tests := map[string]struct {
		a, b Claim
		want bool
	}{
		"the same":                     {all, all, true},
		"another port":                 {all, claim("tcp", "*", 81), false},
		"another network":              {all, claim("udp", "*", 80), false},
		"all and one":                  {all, claim("tcp", "10.0.0.1", 80), true},
		"nothing is all":               {claim("tcp", "", 80), claim("tcp", "10.0.0.1", 80), true},
		"IPv4's word for all":          {claim("tcp", "0.0.0.0", 80), claim("tcp", "10.0.0.1", 80), true},
		"IPv6's word takes IPv4 too":   {claim("tcp", "::", 80), claim("tcp", "10.0.0.1", 80), true},
		"two addresses":                {claim("tcp", "10.0.0.1", 80), claim("tcp", "10.0.0.2", 80), false},
		"one address":                  {claim("tcp", "10.0.0.1", 80), claim("tcp", "10.0.0.1", 80), true},
		"one address, spelled twice":   {claim("tcp", "::1", 80), claim("tcp", "0:0:0:0:0:0:0:1", 80), true},
		"one address, mapped":          {claim("tcp", "::ffff:10.0.0.1", 80), claim("tcp", "10.0.0.1", 80), true},
		"loopback of both":             {claim("tcp", "127.0.0.1", 80), claim("tcp", "::1", 80), false},
		"what is no address, the same": {claim("tcp", "eth0", 80), claim("tcp", "eth0", 80), true},
		"what is no address, another":  {claim("tcp", "10.0.0.1", 80), claim("tcp", "eth0", 80), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.a.Overlaps(test.b) != test.want || test.b.Overlaps(test.a) != test.want {
				t.Errorf("%s and %s: want %t both ways", test.a, test.b, test.want)
			}
		})
	}
}

func TestClaimText(t *testing.T) {
	for want, claim := range map[string]Claim{
		"tcp *:80":        {Network: "tcp", Address: "::", Port: 80},
		"tcp 10.0.0.1:80": {Network: "tcp", Address: "10.0.0.1", Port: 80},
		"tcp [::1]:80":    {Network: "tcp", Address: "::1", Port: 80},
	} {
		if got := claim.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestKindsCanNameWhatTheyMustName(t *testing.T) {
	for _, kind := range Kinds() {
		if err := CheckName(string(kind)); err != nil {
			t.Errorf("the kind becomes a directory and a path segment: %v", err)
		}
		if got := (ID{kind, "www"}).String(); got != string(kind)+"/www" {
			t.Errorf("id %q", got)
		}
	}
}

func TestLeafName(t *testing.T) {
	longest := ID{Kind: KindDBServer, Name: "a123456789-123456789-123"}
	for name, ok := range map[string]bool{
		"db": true, longest.LeafName(): true, "db-server.main": true,
		"": false, "..": false, "db-server.": false, "db-server.a.b": false, "mail-server.main": false, "db-server.../x": false,
	} {
		if err := CheckLeafName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A spec may hold thousands of claims, and one that overlaps is found all the same.
func TestAnOverlappingClaimIsFoundAmongMany(t *testing.T) {
	addresses := []string{"", "*", "0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "::1", "0:0:0:0:0:0:0:1", "no address"}
	for _, a := range addresses {
		for _, b := range addresses {
			for _, network := range []string{"tcp", "udp"} {
				for _, port := range []int{80, 81} {
					one, other := Claim{Network: "tcp", Address: a, Port: 80}, Claim{Network: network, Address: b, Port: port}
					held := claims{}
					held.add(one)
					if _, found := held.overlapping(other); found != one.Overlaps(other) {
						t.Errorf("%s and %s: found %t, overlap %t", one, other, found, one.Overlaps(other))
					}
				}
			}
		}
	}
}

// TestClaimsAreNotComparedEachWithEach counts what is allocated for the addresses
// that are compared: for four times as many frontends about four times as much.
func TestClaimsAreNotComparedEachWithEach(t *testing.T) {
	work := func(frontends int) float64 {
		b := testLoadBalancer()
		www := b.Frontends["www"]
		for i := range frontends { // of one port: nothing else tells them apart
			www.Address, www.Port = fmt.Sprintf("10.9.%d.%d", i>>8, i&255), 8080
			b.Frontends[fmt.Sprint("f", i)] = www
		}
		return testing.AllocsPerRun(1, func() {
			if v := b.Validate(); len(v) > 0 {
				t.Errorf("%+v", v)
			}
		})
	}
	if few, many := work(1_000), work(4_000); many > 6*few {
		t.Errorf("1,000 frontends take %.0f allocations, and 4,000 take %.0f", few, many)
	}
}
