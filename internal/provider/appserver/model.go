package appserver

import (
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// settings are the attributes of foobar_app_server that make its spec, in the
// order of the schema. A nil pointer is an attribute that was left out. Write-
// only attributes are nil unless the settings come from the configuration.
type settings struct {
	Release          release                    `tfsdk:"release"`
	Command          []string                   `tfsdk:"command"`
	AppPorts         []int                      `tfsdk:"app_ports"`
	Address          *string                    `tfsdk:"address"`
	Port             int                        `tfsdk:"port"`
	TrustedProxies   []string                   `tfsdk:"trusted_proxies"`
	RequestLimits    *requestLimits             `tfsdk:"request_limits"`
	RequestTimeouts  *requestTimeouts           `tfsdk:"request_timeouts"`
	Underscores      *bool                      `tfsdk:"underscores_in_headers"`
	Static           map[string]staticDirectory `tfsdk:"static"`
	ResponseHeaders  map[string]string          `tfsdk:"response_headers"`
	Gzip             *bool                      `tfsdk:"gzip"`
	Environment      map[string]string          `tfsdk:"environment"`
	SecretsWO        map[string]api.Secret      `tfsdk:"secrets_wo"`
	SecretsWOVersion *int64                     `tfsdk:"secrets_wo_version"`
	HealthCheck      *healthCheck               `tfsdk:"health_check"`
	Strategy         *string                    `tfsdk:"strategy"`
	DrainTimeout     *string                    `tfsdk:"drain_timeout"`
	StopTimeout      *string                    `tfsdk:"stop_timeout"`
	RestartTrigger   *string                    `tfsdk:"restart_trigger"`
	Liveness         *liveness                  `tfsdk:"liveness"`
	AgentCheckPort   *int                       `tfsdk:"agent_check_port"`
	Limits           *limits                    `tfsdk:"limits"`
	Logs             *logSettings               `tfsdk:"logs"`
}

type release struct {
	// Source is write-only: where the file is on the machine that Terraform
	// runs on is no fact of the app server.
	Source     *string  `tfsdk:"source"`
	SHA256     *string  `tfsdk:"sha256"`
	MaxBytes   *int64   `tfsdk:"max_bytes"`
	Signature  *string  `tfsdk:"signature"`
	PublicKeys []string `tfsdk:"public_keys"`
}

type healthCheck struct {
	Path           *string `tfsdk:"path"`
	Interval       *string `tfsdk:"interval"`
	Timeout        *string `tfsdk:"timeout"`
	Successes      *int    `tfsdk:"successes"`
	StartTimeout   *string `tfsdk:"start_timeout"`
	MinHealthyTime *string `tfsdk:"min_healthy_time"`
}

// spec returns what the agent is to be given. The error is an [api.Problem]
// that points at each value that cannot be sent at all.
func (s settings) spec() (api.AppServer, error) {
	defaults := api.DefaultAppServer()
	durations := &tfutil.Durations{}
	spec := api.AppServer{
		Release: api.Release{
			SHA256:   tfutil.Or(s.Release.SHA256, ""),
			MaxBytes: tfutil.Or(s.Release.MaxBytes, defaults.Release.MaxBytes),

			Signature:  tfutil.Or(s.Release.Signature, ""),
			PublicKeys: s.Release.PublicKeys,
		},
		Command:              command(s.Command),
		AppPorts:             append([]int{}, s.AppPorts...),
		Address:              tfutil.Or(s.Address, defaults.Address),
		Port:                 s.Port,
		TrustedProxies:       tfutil.Sorted(s.TrustedProxies),
		RequestLimits:        s.RequestLimits.spec(),
		RequestTimeouts:      s.RequestTimeouts.spec(durations, "/request_timeouts"),
		UnderscoresInHeaders: tfutil.Or(s.Underscores, defaults.UnderscoresInHeaders),
		Static:               static(s.Static, durations, "/static"),
		ResponseHeaders:      texts(s.ResponseHeaders),
		Gzip:                 tfutil.Or(s.Gzip, defaults.Gzip),
		Environment:          texts(s.Environment),
		SecretsVersion:       tfutil.Or(s.SecretsWOVersion, 0),
		HealthCheck:          s.HealthCheck.spec(durations, "/health_check"),
		StopTimeout:          durations.Or(s.StopTimeout, defaults.StopTimeout, "/stop_timeout"),
		Liveness:             s.Liveness.spec(durations, "/liveness"),
		AgentCheckPort:       tfutil.Or(s.AgentCheckPort, 0),
		Limits:               s.Limits.spec(),
		Logs:                 s.Logs.spec(durations, "/logs"),
		Strategy:             api.Strategy(tfutil.Or(s.Strategy, string(defaults.Strategy))),
		DrainTimeout:         durations.Or(s.DrainTimeout, defaults.DrainTimeout, "/drain_timeout"),
		RestartTrigger:       tfutil.Or(s.RestartTrigger, ""),
	}
	return spec, durations.Problem()
}

func (h *healthCheck) spec(durations *tfutil.Durations, at api.Pointer) api.AppHealthCheck {
	defaults := api.DefaultAppServer().HealthCheck
	if h == nil {
		return defaults
	}
	return api.AppHealthCheck{
		Path:           tfutil.Or(h.Path, defaults.Path),
		Interval:       durations.Or(h.Interval, defaults.Interval, at.At("interval")),
		Timeout:        durations.Or(h.Timeout, defaults.Timeout, at.At("timeout")),
		Successes:      tfutil.Or(h.Successes, defaults.Successes),
		StartTimeout:   durations.Or(h.StartTimeout, defaults.StartTimeout, at.At("start_timeout")),
		MinHealthyTime: durations.Or(h.MinHealthyTime, defaults.MinHealthyTime, at.At("min_healthy_time")),
	}
}

// newSettings returns the attributes that show spec, with every default filled
// in. It is the inverse of [settings.spec]; what is write-only stays null.
func newSettings(spec api.AppServer) settings {
	return settings{
		Release: release{
			SHA256:   new(spec.Release.SHA256),
			MaxBytes: new(spec.Release.MaxBytes),

			Signature:  tfutil.Optional(spec.Release.Signature),
			PublicKeys: spec.Release.PublicKeys,
		},
		Command:          shownCommand(spec.Command),
		AppPorts:         appPorts(spec.AppPorts),
		Address:          new(spec.Address),
		Port:             spec.Port,
		TrustedProxies:   tfutil.Sorted(spec.TrustedProxies),
		RequestLimits:    &requestLimits{BodyBytes: new(spec.RequestLimits.BodyBytes), HeaderBytes: new(spec.RequestLimits.HeaderBytes)},
		RequestTimeouts:  newRequestTimeouts(spec.RequestTimeouts),
		Underscores:      new(spec.UnderscoresInHeaders),
		Static:           newStatic(spec.Static),
		ResponseHeaders:  texts(spec.ResponseHeaders),
		Gzip:             new(spec.Gzip),
		Environment:      texts(spec.Environment),
		SecretsWOVersion: tfutil.Optional(spec.SecretsVersion),
		HealthCheck: &healthCheck{
			Path:           new(spec.HealthCheck.Path),
			Interval:       new(spec.HealthCheck.Interval.String()),
			Timeout:        new(spec.HealthCheck.Timeout.String()),
			Successes:      new(spec.HealthCheck.Successes),
			StartTimeout:   new(spec.HealthCheck.StartTimeout.String()),
			MinHealthyTime: new(spec.HealthCheck.MinHealthyTime.String()),
		},
		Strategy:       new(string(spec.Strategy)),
		DrainTimeout:   new(spec.DrainTimeout.String()),
		StopTimeout:    new(spec.StopTimeout.String()),
		RestartTrigger: tfutil.Optional(spec.RestartTrigger),
		Liveness:       newLiveness(spec.Liveness),
		AgentCheckPort: tfutil.Optional(spec.AgentCheckPort),
		Limits:         newLimits(spec.Limits),
		Logs:           newLogs(spec.Logs),
	}
}

// appPorts returns the attribute of the app's ports, null for none.
func appPorts(ports []int) []int {
	if len(ports) == 0 {
		return nil
	}
	return slices.Clone(ports)
}

// texts returns a copy of a map that is never nil, as both the spec and the
// attribute have it.
func texts(given map[string]string) map[string]string {
	if given == nil {
		return map[string]string{}
	}
	return maps.Clone(given)
}
