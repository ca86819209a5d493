package appserver

import (
	"slices"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// limits of an operation; a nil text is one that is left out.
func limitsOf(create, update *string) timeouts.Value {
	kinds := map[string]attr.Type{"create": types.StringType, "update": types.StringType}
	return timeouts.Value{Object: types.ObjectValueMust(kinds, map[string]attr.Value{
		"create": types.StringPointerValue(create), "update": types.StringPointerValue(update),
	})}
}

func TestOperationsThatEndBeforeTheirApps(t *testing.T) {
	none := timeouts.Value{Object: types.ObjectNull(nil)}
	for name, test := range map[string]struct {
		edit    func(*model)
		limits  timeouts.Value
		doubted []api.Pointer
		refused []api.Pointer
	}{
		"the defaults":           {limits: none},
		"a start that just fits": {edit: func(m *model) { m.HealthCheck.StartTimeout = new("290s") }, limits: none},
		"a hold that does not":   {edit: func(m *model) { m.HealthCheck.StartTimeout = new("291s") }, limits: none, doubted: []api.Pointer{"/health_check/start_timeout"}},
		"a long start": {
			edit: func(m *model) { m.HealthCheck.StartTimeout = new("10m") }, limits: none,
			doubted: []api.Pointer{"/health_check/start_timeout"},
		},
		"a long start with time for it": {edit: func(m *model) { m.HealthCheck.StartTimeout = new("10m") }, limits: limitsOf(new("10m"), new("611s"))},
		"a short create":                {limits: limitsOf(new("30s"), nil), doubted: []api.Pointer{"/timeouts/create"}},
		"a short update":                {limits: limitsOf(nil, new("69s")), doubted: []api.Pointer{"/timeouts/update"}},
		"an update that cannot succeed": {limits: limitsOf(nil, new("10s")), doubted: []api.Pointer{"/timeouts/update"}, refused: []api.Pointer{"/timeouts/update"}},
		"a hold that cannot end": {
			edit: func(m *model) { m.HealthCheck.MinHealthyTime = new("5m") }, limits: none,
			doubted: []api.Pointer{"/health_check/start_timeout"}, refused: []api.Pointer{"/health_check/min_healthy_time"},
		},
		"a hold that is not waited for": {
			edit:   func(m *model) { m.HealthCheck.MinHealthyTime, m.Strategy = new("5m"), new("restart") },
			limits: none,
		},
		"a long stop before a start": {
			edit:   func(m *model) { m.StopTimeout, m.Strategy = new("4m30s"), new("restart") },
			limits: none, doubted: []api.Pointer{"/health_check/start_timeout"},
		},
		"a site":             {edit: func(m *model) { m.Command = nil }, limits: limitsOf(new("1s"), new("1s"))},
		"timeouts not known": {edit: func(m *model) { m.HealthCheck.MinHealthyTime = new("5m") }, limits: limitsOf(nil, nil)},
		"one of no duration": {limits: limitsOf(nil, new("unknown-50000"))},
		"a value out of bounds": {
			edit: func(m *model) { m.HealthCheck.MinHealthyTime = new("500h") }, limits: limitsOf(new("24h"), new("24h")),
			doubted: []api.Pointer{"/timeouts/update"}, // a plan with it never comes here
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := model{settings: newSettings(api.DefaultAppServer())}
			m.Command, m.Timeouts = []string{"./app"}, test.limits
			if test.edit != nil {
				test.edit(&m)
			}
			var doubted []api.Pointer
			for _, d := range doubts(m) {
				doubted = append(doubted, d.At)
			}
			var refused api.Violations
			tooLong(m, &refused)
			var at []api.Pointer
			for _, v := range refused {
				at = append(at, v.Pointer)
			}
			if !slices.Equal(doubted, test.doubted) || !slices.Equal(at, test.refused) {
				t.Errorf("doubted are %q, want %q; refused are %q, want %q", doubted, test.doubted, at, test.refused)
			}
		})
	}
}
