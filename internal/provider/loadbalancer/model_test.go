package loadbalancer

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// minimal names only what has no default.
func minimal() settings {
	return settings{
		Frontends: map[string]frontend{"http": {Port: 80, Backend: "web"}},
		Backends:  map[string]backend{"web": {Servers: map[string]server{"web1": {Address: "10.0.0.1", Port: 8080}}}},
	}
}

// everything is a spec in which no value is its type's zero or a default.
func everything() api.LoadBalancer {
	return api.LoadBalancer{
		Engine:         api.EngineHAProxy,
		MaxConnections: 1234,
		Timeouts: api.LoadBalancerTimeouts{
			Connect: duration(1), Client: duration(2), Server: duration(3), Queue: duration(4),
			HTTPRequest: duration(5), KeepAlive: duration(6), Tunnel: duration(7),
		},
		TrustedProxies: []string{"10.0.0.0/8", "192.0.2.0/24"},
		Frontends: map[string]api.Frontend{
			"http":  {Address: "203.0.113.10", Port: 80, Backend: "web", LogFormat: "%ci"},
			"admin": {Address: "*", Port: 8080, Backend: "api"},
		},
		Backends: map[string]api.Backend{
			"web": {
				Algorithm: api.LeastConnections,
				HealthCheck: &api.HealthCheck{
					Method: "HEAD", Path: "/health", Host: "www.foobar.test", Status: 204, BodyPattern: "^ok$",
					Interval: duration(8), Timeout: duration(9), Rise: 3, Fall: 4,
				},
				Servers: map[string]api.Server{
					"web1": {Address: "10.0.0.1", Port: 80, Weight: 10, Backup: true, Drain: true, MaxConnections: 5, AgentCheckPort: 7081},
					"web2": {Address: "10.0.0.2", Port: 80, Weight: 20, MaxConnections: 6},
				},
			},
			"api": {Algorithm: api.Source, Servers: map[string]api.Server{
				"api1": {Address: "10.0.0.3", Port: 81, Weight: 1, MaxConnections: 1},
			}},
		},
	}
}

func duration(seconds int) api.Duration { return api.Duration(seconds) * api.Duration(time.Second) }

func TestSpecOfLeftOutAttributesHasTheDefaults(t *testing.T) {
	want := api.DefaultLoadBalancer()
	front := api.DefaultFrontend()
	front.Port, front.Backend = 80, "web"
	want.Frontends["http"] = front
	server := api.DefaultServer()
	server.Address, server.Port = "10.0.0.1", 8080
	back := api.DefaultBackend()
	back.Servers["web1"] = server
	want.Backends["web"] = back

	got, err := minimal().spec()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("spec is\n%s\nnot\n%s", api.Encode(got), api.Encode(want))
	}
}

func TestEmptyHealthCheckTakesEveryDefault(t *testing.T) {
	s := minimal()
	s.Backends["web"] = backend{HealthCheck: &healthCheck{}, Servers: s.Backends["web"].Servers}
	got, err := s.spec()
	if err != nil {
		t.Fatal(err)
	}
	if want := api.DefaultHealthCheck(); *got.Backends["web"].HealthCheck != want {
		t.Errorf("health check is %+v, not %+v", *got.Backends["web"].HealthCheck, want)
	}
}

func TestSpecComesBackFromItsAttributes(t *testing.T) {
	defaults, err := minimal().spec()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]api.LoadBalancer{"everything": everything(), "defaults": defaults} {
		t.Run(name, func(t *testing.T) {
			got, err := throughState(t, newSettings(want)).spec()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("spec came back as\n%s\nnot\n%s", api.Encode(got), api.Encode(want))
			}
		})
	}
}

func TestWrongDurationsArePointedAt(t *testing.T) {
	s := minimal()
	s.TrafficTimeouts = &trafficTimeouts{Connect: new("soon")}
	s.Backends["web"] = backend{
		HealthCheck: &healthCheck{Interval: new("1ns")},
		Servers:     s.Backends["web"].Servers,
	}
	_, err := s.spec()
	problem := api.AsProblem(err)
	if problem == nil {
		t.Fatal("no problem")
	}
	var got []api.Pointer
	for _, v := range problem.Violations {
		got = append(got, v.Pointer)
	}
	want := []api.Pointer{"/timeouts/connect", "/backends/web/health_check/interval"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pointers are %v, not %v", got, want)
	}
}

// throughState writes settings into a Terraform state and reads them back.
func throughState(t *testing.T, in settings) (out settings) {
	t.Helper()
	s := schema.Schema{Attributes: attributes()}
	if diags := s.ValidateImplementation(t.Context()); diags.HasError() {
		t.Fatal(diags)
	}
	state := tfsdk.State{Schema: s, Raw: tftypes.NewValue(s.Type().TerraformType(t.Context()), nil)}
	if diags := state.Set(t.Context(), in); diags.HasError() {
		t.Fatal(diags)
	}
	if diags := state.Get(t.Context(), &out); diags.HasError() {
		t.Fatal(diags)
	}
	return out
}
