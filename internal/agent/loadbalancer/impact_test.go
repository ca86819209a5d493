package loadbalancer

import (
	"strconv"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestImpact(t *testing.T) {
	config, unit := pathsOf("lb").config, pathsOf("lb").unitFile
	same := func(*converge.Change) {}
	for name, test := range map[string]struct {
		change func(*api.LoadBalancer)
		edit   func(*converge.Change)
		want   api.Impact
	}{
		"same":          {func(*api.LoadBalancer) {}, same, api.ImpactNone},
		"weight":        {func(b *api.LoadBalancer) { *b = with(*b, "web1", weigh(7)) }, same, api.ImpactRuntime},
		"drain":         {func(b *api.LoadBalancer) { *b = with(*b, "web1", drain) }, same, api.ImpactRuntime},
		"backup":        {func(b *api.LoadBalancer) { *b = with(*b, "web1", func(s *api.Server) { s.Backup = true }) }, same, api.ImpactReload},
		"port":          {func(b *api.LoadBalancer) { *b = with(*b, "web1", func(s *api.Server) { s.Port = 81 }) }, same, api.ImpactReload},
		"trusted proxy": {func(b *api.LoadBalancer) { b.TrustedProxies = []string{"10.0.0.0/24"} }, same, api.ImpactReload},
		"file limit":    {func(b *api.LoadBalancer) { b.MaxConnections = 100000 }, same, api.ImpactRestart},
		"config edited by hand": {
			func(*api.LoadBalancer) {},
			func(c *converge.Change) { c.Paths[config] = api.ChangeUpdate },
			api.ImpactReload,
		},
		"weight, and config edited by hand": {
			func(b *api.LoadBalancer) { *b = with(*b, "web1", weigh(7)) },
			func(c *converge.Change) { c.Edited = map[string]bool{config: true} },
			api.ImpactReload,
		},
		"unit edited by hand": {
			func(*api.LoadBalancer) {},
			func(c *converge.Change) { c.Paths[unit] = api.ChangeUpdate },
			api.ImpactRestart,
		},
		"unit amended by hand": {
			func(*api.LoadBalancer) {},
			func(c *converge.Change) {
				c.Paths["/etc/systemd/system/foobar-lb-lb.service.d/override.conf"] = api.ChangeDelete
			},
			api.ImpactRestart,
		},
		"created": {func(*api.LoadBalancer) {}, func(c *converge.Change) { c.From = nil }, api.ImpactNone},
		"deleted": {func(*api.LoadBalancer) {}, func(c *converge.Change) { c.To = nil }, api.ImpactRestart},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := pair(), pair()
			test.change(&to)
			change := changeOf(t, from, to)
			test.edit(&change)
			if got := (&Kind{}).Impact(change); got != test.want {
				t.Errorf("the impact is %q, expected %q", got, test.want)
			}
		})
	}
}
