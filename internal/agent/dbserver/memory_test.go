package dbserver

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The machine of the tests has 2 GiB, of which four fifths are 1638 MiB.
func TestAPlanWarnsOfTooLittleMemory(t *testing.T) {
	for name, test := range map[string]struct {
		spec api.DBServer
		at   api.Pointer // "" for no warning
	}{
		"the defaults":            {spec: plain()},
		"most of it":              {spec: set("innodb_buffer_pool_size", "1600M")},
		"nearly all of it":        {spec: set("innodb_buffer_pool_size", "1800M"), at: "/settings/innodb_buffer_pool_size"},
		"nearly all, together":    {spec: set("innodb_buffer_pool_size", "1G", "key_buffer_size", "900M"), at: "/settings/innodb_buffer_pool_size"},
		"what one client may use": {spec: set("innodb_buffer_pool_size", "1G", "tmp_table_size", "1G")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, test.spec)
			for what, change := range map[string]converge.Change{
				"a create": {Name: "main", To: version(t, test.spec)}, "a repair": changeOf(t, test.spec, test.spec),
			} {
				plan, err := f.Preview(t.Context(), "main", change)
				if err != nil {
					t.Fatal(err)
				}
				if test.at == "" {
					if len(plan.Conditions) > 0 {
						t.Errorf("%s warns: %v", what, plan.Conditions)
					}
					continue
				}
				if len(plan.Conditions) != 1 || plan.Conditions[0].Pointer != test.at || !strings.Contains(plan.Conditions[0].Message, "this machine has 2G") {
					t.Errorf("%s warns of %v, want one at %s", what, plan.Conditions, test.at)
				}
			}
		})
	}
}
