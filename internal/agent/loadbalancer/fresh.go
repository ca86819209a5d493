package loadbalancer

import (
	"context"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// freshPause is how long [Kind.fresh] waits before it asks again.
	freshPause = 100 * time.Millisecond
	// freshPatience bounds it: a health check may have an interval of minutes.
	freshPatience = 5 * time.Second
)

// fresh returns what the worker shows, once it is not older than the question:
// what HAProxy shows of a server that is down comes from its last check, which
// may be from before the apply that brought the server back. HAProxy does not
// say when that was. So a server that is down is given the time of its next
// check, and one that passes its checks again that of the checks that it lacks.
func (k *Kind) fresh(ctx context.Context, spec api.LoadBalancer, engine haproxy.Client) (runtime, error) {
	now, err := readRuntime(ctx, engine)
	for waited := time.Duration(0); err == nil && waited < min(untilFresh(spec, now), freshPatience); waited += freshPause {
		if err = k.sleep(ctx, freshPause); err == nil {
			now, err = readRuntime(ctx, engine)
		}
	}
	return now, err
}

// untilFresh returns how long the servers that are down need for checks that
// begin now.
func untilFresh(spec api.LoadBalancer, now runtime) time.Duration {
	var longest time.Duration
	for _, stat := range now.stats {
		check := spec.Backends[stat.Proxy].HealthCheck
		if stat.Sort != haproxy.ServerStat || check == nil || serverState(stat) != "down" || byAgent(stat) {
			continue // an answer of the agent check is never older than its interval
		}
		needs := time.Duration(check.Interval)
		if strings.HasSuffix(stat.Check, "OK") {
			needs *= time.Duration(check.Rise)
		}
		longest = max(longest, needs+freshPause)
	}
	return longest
}

// sleep waits, and returns early with the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
