//go:build lab

package loadbalancer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/conformance"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestLabConformance(t *testing.T) {
	onLabMachine(t)
	web1, web2, web3 := newBackend(t, "web1"), newBackend(t, "web2"), newBackend(t, "web3")
	first := over(web1, web2)
	second := with(over(web2, web3), "web3", func(s *api.Server) { s.Weight, s.MaxConnections = 50, 20 })
	second.MaxConnections = 100000 // another limit in the unit
	second.TrustedProxies = []string{"10.0.0.0/24"}
	second.Frontends["extra"] = api.Frontend{Address: "127.0.0.2", Port: 18080, Backend: "web", LogFormat: `%ci "it's" %HM`}
	backend := second.Backends["web"]
	backend.Algorithm, backend.HealthCheck = api.LeastConnections, nil
	second.Backends["web"] = backend

	// A port that another program holds: nobody can see it before the swap.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	taken, _ := listener.Addr().(*net.TCPAddr)
	broken := with(first, "web1", func(*api.Server) {})
	broken.Frontends["taken"] = api.Frontend{Address: "127.0.0.1", Port: taken.Port, Backend: "web"}

	units := systemd.New()
	t.Cleanup(units.Close)
	byHand := func(command string) func(context.Context) error {
		return func(context.Context) error { return tellWorker(command) }
	}
	conformance.Run(t, conformance.Suite{
		Kind: loadbalancer.New(units, logs.Journal{}), Name: "test", Units: units,
		First: api.Encode(first), Second: api.Encode(second), Broken: api.Encode(broken),
		Breaks: []conformance.Break{
			{Name: "weight by hand", Do: byHand("set server web/web2 weight 3")},
			{Name: "drain by hand", Do: byHand("set server web/web2 state drain")},
			{Name: "maintenance by hand", Do: byHand("set server web/web2 state maint")},
			{Name: "weight by hand in one pool", Do: byHand("set server web.once/web2 weight 3")},
			{Name: "limit by hand in one pool", Do: byHand("set maxconn server web.once/web2 9")},
			{Name: "address by hand", Do: byHand("set server web/web2 addr 127.0.0.3")},
			{Name: "limit by hand", Do: byHand("set maxconn server web/web2 9")},
			{Name: "frontend closed by hand", Do: byHand("disable frontend www")},
			{Name: "another configuration runs", Do: loadAnother},
		},
		Serves: serves,
	})
}

// serves asks each frontend until every server that should has answered.
func serves(ctx context.Context, raw json.RawMessage) error {
	var spec api.LoadBalancer
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	for name, frontend := range spec.Frontends {
		missing := map[string]bool{}
		for server := range spec.Backends[frontend.Backend].Servers {
			missing[server] = true
		}
		client := fresh()
		for range 20 {
			address := fmt.Sprintf("%s:%d", frontend.Address, frontend.Port)
			server, _, err := ask(ctx, client, http.MethodGet, "http://"+address+"/")
			if err != nil {
				return fmt.Errorf("the frontend %s: %w", name, err)
			}
			delete(missing, server)
		}
		if len(missing) > 0 {
			return fmt.Errorf("the frontend %s: %v never answered", name, missing)
		}
	}
	return nil
}

// loadAnother has HAProxy load a file that is not the one in place.
func loadAnother(ctx context.Context) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	another := strings.Replace(string(text), "description revision-", "description revision-x", 1)
	if err := os.WriteFile(config, []byte(another), 0o644); err != nil {
		return err
	}
	if err := reloadByHand(ctx); err != nil {
		return err
	}
	return os.WriteFile(config, text, 0o644)
}
