package tfutil

import (
	"net/netip"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestTrusts(t *testing.T) {
	at := netip.MustParseAddrPort("10.0.0.1:80")
	for name, test := range map[string]struct {
		trusted []string
		from    string
		want    bool
	}{
		"nobody":                    {nil, "10.0.0.10", false},
		"nobody, by a name":         {nil, "lb1.example", false},
		"its address":               {[]string{"10.0.0.10/32"}, "10.0.0.10", true},
		"its address and port":      {[]string{"10.0.0.10/32"}, "10.0.0.10:9443", true},
		"its network":               {[]string{"192.0.2.0/24", "10.0.0.0/8"}, "10.0.0.10", true},
		"another":                   {[]string{"10.0.0.11/32"}, "10.0.0.10", false},
		"maybe that of its name":    {[]string{"10.0.0.11/32"}, "lb1.example", true},
		"maybe its private address": {[]string{"10.0.0.11/32"}, "203.0.113.10", true},
		"maybe its address of IPv4": {[]string{"10.0.0.11/32"}, "fd00::1", true},
	} {
		from := Machine{Address: types.StringValue(test.from)}.IP()
		if got := (Front{At: at, Trusted: test.trusted}).Trusts(from); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
