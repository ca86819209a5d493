package appserver

import (
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const checksum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// minimal names only what has no default.
func minimal() settings {
	return settings{
		Release: release{SHA256: new(checksum)},
		Command: []string{"./bin/app"},
		Port:    80,
	}
}

// everything is a spec in which no value is its type's zero or a default.
func everything() api.AppServer {
	return api.AppServer{
		Release:              api.Release{SHA256: checksum, MaxBytes: 12345},
		Command:              []string{"python3", "-m", "app"},
		AppPorts:             []int{8000, 8001},
		Address:              "10.0.0.1",
		Port:                 8080,
		TrustedProxies:       []string{"10.0.0.0/24", "192.0.2.1/32"},
		RequestLimits:        api.AppRequestLimits{BodyBytes: 4096, HeaderBytes: 2048},
		RequestTimeouts:      api.AppRequestTimeouts{Headers: duration(7), Body: duration(8), Send: duration(9), App: duration(11), WebSocket: duration(12)},
		UnderscoresInHeaders: true,
		Static:               map[string]api.StaticDirectory{"/assets/": {Directory: "public/assets", Cache: duration(3600)}, "/": {Directory: "public"}},
		ResponseHeaders:      map[string]string{"X-Frame-Options": "DENY", "X-Powered-By": ""},
		Gzip:                 true,
		Environment:          map[string]string{"GREETING": "hello", "EMPTY": ""},
		SecretsVersion:       3,
		HealthCheck: api.AppHealthCheck{
			Path: "/health", Interval: duration(1), Timeout: duration(3), Successes: 5, StartTimeout: duration(90), MinHealthyTime: duration(7),
		},
		Strategy:       api.StrategyRestart,
		DrainTimeout:   duration(6),
		StopTimeout:    duration(5),
		RestartTrigger: "again",
		Liveness:       &api.AppLiveness{Path: "/live", Interval: duration(7), Timeout: duration(3), Failures: 9},
		AgentCheckPort: 8081,
		Limits:         api.AppLimits{Memory: "1G", CPU: 150, Tasks: 99, OpenFiles: 999},
		Logs:           api.AppLogs{Rate: 7, Retention: duration(7200), MaxBytes: 9 << 20},
	}
}

func duration(seconds int) api.Duration { return api.Duration(seconds) * api.Duration(time.Second) }

func TestSpecOfLeftOutAttributesHasTheDefaults(t *testing.T) {
	want := api.DefaultAppServer()
	want.Release.SHA256, want.Command, want.Port = checksum, []string{"./bin/app"}, 80
	got, err := minimal().spec()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("spec is\n%s\nnot\n%s", api.Encode(got), api.Encode(want))
	}
}

func TestSpecComesBackFromItsAttributes(t *testing.T) {
	defaults, err := minimal().spec()
	if err != nil {
		t.Fatal(err)
	}
	site := api.DefaultAppServer()
	site.Release.SHA256, site.Port, site.Command = checksum, 80, []string{}
	site.Static = map[string]api.StaticDirectory{"/": {Directory: "."}}
	for name, want := range map[string]api.AppServer{"everything": everything(), "defaults": defaults, "a site of files": site} {
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

func TestWriteOnlyAttributesNeverComeFromASpec(t *testing.T) {
	got := newSettings(everything())
	if got.SecretsWO != nil || got.Release.Source != nil {
		t.Errorf("write-only attributes are filled in: %v, %v", got.SecretsWO, got.Release.Source)
	}
}

func TestWrongDurationsArePointedAt(t *testing.T) {
	s := minimal()
	s.StopTimeout = new("soon")
	s.HealthCheck = &healthCheck{Interval: new("-1s")}
	s.RequestTimeouts = &requestTimeouts{Body: new("1"), WebSocket: new("forever")}
	s.Static = map[string]staticDirectory{"/b/": {Directory: "b", Cache: new("x")}, "/a/": {Directory: "a", Cache: new("y")}}
	_, err := s.spec()
	problem := api.AsProblem(err)
	if problem == nil {
		t.Fatal("no problem")
	}
	var got []api.Pointer
	for _, v := range problem.Violations {
		got = append(got, v.Pointer)
	}
	want := []api.Pointer{
		"/request_timeouts/body", "/request_timeouts/websocket", "/static/~1a~1/cache", "/static/~1b~1/cache", "/health_check/interval", "/stop_timeout",
	}
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
