package appserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// followNginx has nginx run the configuration that is in place.
func (r rollout) followNginx(ctx context.Context) error {
	unit := r.layout.nginxUnit()
	status, err := r.kind.systemd.Status(ctx, unit)
	if err != nil {
		return err
	}
	wanted := recordedRevision(r.layout, r.change.To.State)
	switch {
	case !status.Active() || nginxRestarts(r.layout, r.change):
		r.progress(api.PhaseActivate, "starting nginx")
		err = r.kind.systemd.Restart(ctx, unit)
	case r.kind.revisionInForce(ctx, r.layout) != wanted:
		r.progress(api.PhaseActivate, "reloading nginx")
		err = r.kind.systemd.Reload(ctx, unit)
	default:
		return nil
	}
	if err != nil {
		return r.nginxFailed(ctx, "nginx did not start", err)
	}
	return r.awaitRevision(ctx, wanted)
}

// awaitRevision waits until nginx itself says that it runs a configuration:
// the signal for a reload has no answer.
func (r rollout) awaitRevision(ctx context.Context, wanted string) error {
	unit := r.layout.nginxUnit()
	alive, err := r.kind.watch(ctx, nginxPatience, unit)
	if err != nil {
		return err
	}
	err = gate{
		clock: r.kind.clock,
		ask: func(ctx context.Context) (string, bool) {
			return "ran another configuration", r.kind.revisionInForce(ctx, r.layout) == wanted
		},
		alive: alive,
	}.wait(ctx, api.AppHealthCheck{Interval: nginxPause, Successes: nginxLooks, StartTimeout: nginxTimeout})
	if err != nil {
		return r.nginxFailed(ctx, "nginx did not take its configuration", err)
	}
	return nil
}

// nginxFailed makes the problem of an nginx that does not run as it should: what a failure
// of the unit is, and whether somebody else has its port.
func (r rollout) nginxFailed(ctx context.Context, title string, cause error) error {
	unit := r.layout.nginxUnit()
	err := r.failed(ctx, title, cause, unit)
	holder := outsideOf(unit, r.kind.holders(siteAddress(r.spec)))
	if problem, ok := errors.AsType[*api.Problem](err); ok && holder != nil {
		problem.Violations = api.Violations{{
			Pointer: "/port",
			Detail:  fmt.Sprintf("port %d is taken by %s; stop that, or choose another port", r.spec.Port, holder),
		}}
	}
	return err
}
