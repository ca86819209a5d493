package appserver

import (
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const holdAt = api.Pointer("/health_check/min_healthy_time")

// doubts returns what is allowed in a plan and does hardly what was wanted.
func doubts(planned model) []tfutil.Doubt {
	spec, err := planned.spec()
	if err != nil {
		return nil // shown by the validation
	}
	all := tfutil.TrustsAnybody(planned.TrustedProxies, " While the app is down, clients get answers that are meant for load balancers.")
	return append(all, cutShort(planned, spec)...)
}

// stage is how long an operation may have to wait until the traffic is switched, and for
// what. What drains afterwards outlives the operation.
type stage struct {
	operation, doing string
	needs            api.Duration
	of               string
}

func stages(s api.AppServer) []stage {
	start := s.HealthCheck.StartTimeout
	update := stage{"update", "an update", start + s.HealthCheck.MinHealthyTime, "start_timeout and min_healthy_time"}
	if s.Strategy == api.StrategyRestart {
		update.needs, update.of = s.StopTimeout+start, "stop_timeout and start_timeout"
	}
	return []stage{{"create", "the creation", start, "start_timeout"}, update}
}

// cutShort doubts timeouts that end an operation before its app has had the time that it
// is given.
func cutShort(planned model, s api.AppServer) []tfutil.Doubt {
	if s.StaticSite() {
		return nil
	}
	at, short, enough := api.Pointer("/health_check/start_timeout"), []string{}, []string{}
	for _, stage := range stages(s) {
		limit, given := planned.Timeout(stage.operation)
		if limit == 0 || limit >= stage.needs {
			continue
		}
		byDefault := " by default"
		if given {
			byDefault, at = "", api.Pointer("/timeouts").At(stage.operation)
		}
		short = append(short, fmt.Sprintf("%s may take %s (%s), and timeouts.%s is %s%s", stage.doing, stage.needs, stage.of, stage.operation, limit, byDefault))
		enough = append(enough, fmt.Sprintf("%s = %q", stage.operation, roundUp(stage.needs)))
	}
	if len(short) == 0 {
		return nil
	}
	return []tfutil.Doubt{{
		At: at, Summary: "The apply may end before the app has started",
		Detail: fmt.Sprintf("%s. When that time is up, the agent stops the new release and the apply fails, even if the app would have become healthy. Write timeouts = { %s }, or lower start_timeout.",
			api.Capital(strings.Join(short, "; ")), strings.Join(enough, ", ")),
	}}
}

// tooLong refuses a min_healthy_time that no update can wait for: it would fail
// whatever the app does.
func tooLong(config model, v *api.Violations) {
	spec, err := config.spec()
	limit, given := config.Timeout("update")
	if err != nil || limit == 0 || spec.StaticSite() || spec.Strategy != api.StrategyBlueGreen {
		return
	}
	h := spec.HealthCheck
	needs := h.MinHealthyTime + api.Duration(time.Duration(h.Successes-1)*time.Duration(h.Interval))
	switch {
	case limit > needs || !inBounds(h): // what is wrong by itself comes first
	case given:
		v.Add("/timeouts/update", "%s is too short for min_healthy_time (%s): each release would be stopped before the traffic goes to it; allow at least %s", limit, h.MinHealthyTime, roundUp(needs+h.StartTimeout))
	default:
		v.Add(holdAt, `%s is longer than an update may take, which is %s by default: each release would be stopped before the traffic goes to it; write timeouts = { update = %q } or lower it`,
			h.MinHealthyTime, limit, roundUp(needs+h.StartTimeout))
	}
}

// inBounds reports whether a health check has only times and numbers that are allowed.
func inBounds(h api.AppHealthCheck) bool {
	return api.AppHoldBounds().Hold(h.MinHealthyTime) && api.AppStartBounds().Hold(h.StartTimeout) &&
		api.AppCheckBounds().Hold(h.Interval) && api.CheckRunBounds().Hold(int64(h.Successes))
}

// roundUp returns a duration in whole minutes, with some time to spare for what nobody counts.
func roundUp(d api.Duration) api.Duration {
	minute := api.Duration(time.Minute)
	return (d + 2*minute - 1) / minute * minute
}
