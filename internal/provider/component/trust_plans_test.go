package component_test

import (
	"fmt"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// An app server that does not trust its load balancer answers for a dead app with an
// error, which cost half of all requests.
func TestAPlanWarnsOfALoadBalancerThatIsNotTrusted(t *testing.T) {
	const warning = "NotTrusted on machine lb1"
	configuration := func(server, trusted string) string {
		return fmt.Sprintf(`
resource "foobar_app_server" "shop" {
  machine         = { name = "web1", address = "10.0.0.1" }
  name            = "shop"
  release         = { source = %q }
  command         = ["./run"]
  port            = 8080
  trusted_proxies = %s
}

resource "foobar_load_balancer" "www" {
  machine   = { name = "lb1", address = "10.0.0.10" }
  name      = "www"
  frontends = { http = { port = 80, backend = "web" } }
  backends = {
    web = { servers = { web1 = { address = %q, port = foobar_app_server.shop.port } } }
  }
}
`, archive(t), trusted, server)
	}
	for name, test := range map[string]struct {
		server, trusted string
		warns           bool
	}{
		"nobody is trusted":       {"10.0.0.1", `[]`, true},
		"another is trusted":      {"10.0.0.1", `["10.0.0.11/32"]`, true},
		"it is trusted":           {"10.0.0.1", `["10.0.0.10/32"]`, false},
		"its server is another's": {"10.0.0.2", `[]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(t, providertest.New("lb1", "web1"), configuration(test.server, test.trusted))
			if !test.warns {
				s.silent(s.does("plan"), warning)
				return
			}
			s.does("plan", warning, "10.0.0.10", "trusted_proxies", "fail with 502")
			s.does(apply)
			s.does("plan", warning, nothing) // as long as it is so
			s.write(configuration(test.server, `["10.0.0.10/32"]`))
			s.silent(s.does("plan"), warning)
		})
	}
}
