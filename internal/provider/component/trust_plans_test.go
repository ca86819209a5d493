package component_test

import (
	"fmt"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// An app server that does not trust its load balancer answers for a dead app with an
// error, which cost half of all requests. The one that is planned last warns of it.
func TestAPlanWarnsOfALoadBalancerThatIsNotTrusted(t *testing.T) {
	const warning = "NotTrusted on machine"
	const appFirst, balancerFirst = "", "depends_on = [foobar_load_balancer.www]"
	configuration := func(order, server, trusted string) string {
		port := "8080"
		if order == appFirst {
			port = "foobar_app_server.shop.port"
		}
		return fmt.Sprintf(`
resource "foobar_app_server" "shop" {
  machine         = { name = "web1", address = "10.0.0.1" }
  name            = "shop"
  release         = { source = %q }
  command         = ["./run"]
  port            = 8080
  trusted_proxies = %s
  %s
}

resource "foobar_load_balancer" "www" {
  machine   = { name = "lb1", address = "10.0.0.10" }
  name      = "www"
  frontends = { http = { port = 80, backend = "web" } }
  backends = {
    web = { servers = { web1 = { address = %q, port = %s } } }
  }
}
`, archive(t), trusted, order, server, port)
	}
	for name, test := range map[string]struct {
		order, server, trusted string
		says                   []string // none if the plan warns of nothing
	}{
		"nobody is trusted":                   {appFirst, "10.0.0.1", `[]`, []string{"lb1", "has no trusted_proxies"}},
		"another is trusted":                  {appFirst, "10.0.0.1", `["10.0.0.11/32"]`, []string{"lb1", "does not list 10.0.0.10 in trusted_proxies", "If the load balancer on machine lb1 connects from"}},
		"it is trusted":                       {appFirst, "10.0.0.1", `["10.0.0.10/32"]`, nil},
		"its server is another's":             {appFirst, "10.0.0.2", `[]`, nil},
		"nobody is, the load balancer first":  {balancerFirst, "10.0.0.1", `[]`, []string{"web1", "has no trusted_proxies"}},
		"another is, the load balancer first": {balancerFirst, "10.0.0.1", `["10.0.0.11/32"]`, []string{"web1", "does not list 10.0.0.10 in trusted_proxies"}},
		"it is, the load balancer first":      {balancerFirst, "10.0.0.1", `["10.0.0.10/32"]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t, providertest.New("lb1", "web1"), configuration(test.order, test.server, test.trusted))
			if len(test.says) == 0 {
				s.silent(s.does("plan"), warning)
				return
			}
			s.does("plan", append(test.says[1:], warning+" "+test.says[0], "fail with 502")...)
			s.does(apply)
			s.does("plan", warning, nothing) // as long as it is so
			s.write(configuration(test.order, test.server, `["10.0.0.10/32"]`))
			s.silent(s.does("plan"), warning)
		})
	}
}
