package tfutil

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Doubt is a warning of a value that is allowed and does hardly what was wanted,
// at its place in a spec.
type Doubt struct {
	At              api.Pointer
	Summary, Detail string
}

// WarnOf adds a warning for each doubt.
func WarnOf(doubts []Doubt, paths Paths, diags *diag.Diagnostics) {
	for _, d := range doubts {
		Warning(diags, paths.Path(d.At), d.Summary, "%s", d.Detail)
	}
}

// TrustsAnybody doubts trusted_proxies that list every address. Does says what
// is done for those that are trusted, beyond believing them.
func TrustsAnybody(networks []string, does string) []Doubt {
	anybody := slices.DeleteFunc(slices.Clone(networks), func(network string) bool {
		prefix, err := netip.ParsePrefix(network)
		return err != nil || prefix.Bits() > 0
	})
	if len(anybody) == 0 {
		return nil
	}
	return []Doubt{{
		At: "/trusted_proxies", Summary: "Every client is trusted",
		Detail: fmt.Sprintf("%s is every address: any client can send an X-Forwarded-For header, and so choose the address that the app and the log show for it.%s "+
			"List only the load balancers, each by its own address, such as \"10.0.0.10/32\".", strings.Join(anybody, ", "), does),
	}}
}
