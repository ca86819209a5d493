package appserver

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// failureLines is how much of the app's log goes with a failure.
	failureLines = 50
	// nginxTimeout bounds the wait for nginx to take a configuration. The old
	// workers accept connections for 100 ms beside the new ones (the pause in
	// nginx's ngx_master_process_cycle), so nginxLooks looks nginxPause apart
	// have to see the new configuration.
	nginxTimeout = api.Duration(15 * time.Second)
	nginxPause   = api.Duration(50 * time.Millisecond)
	nginxLooks   = 4
	// undoPatience bounds the wait for an app that runs as before again: less
	// than [converge.DefaultUndoTimeout].
	undoPatience = api.Duration(time.Minute)
	// lastWords bounds the reading of a log after the operation's time is up.
	lastWords = 5 * time.Second
)

// Impact tells what Apply of the change will cost the traffic. A new app
// server and one that goes have none of their own to lose.
func (*Kind) Impact(change converge.Change) api.Impact {
	if change.From == nil || change.To == nil {
		return api.ImpactNone
	}
	l := layout{name: change.Name}
	switch {
	case appChanged(l, change) != "" || nginxRestarts(l, change):
		return api.ImpactRestart
	case change.Changed(l.nginxConfig()):
		return api.ImpactReload
	}
	return api.ImpactNone
}

// The compiler says it first if the kind and its contract part.
var _ operation.Previewer = (*Kind)(nil)

// Preview adds to the impact of a change what the running app and nginx need
// beyond it: one that is down is started, an app that runs with other settings
// or another release is started again, an nginx that does is reloaded. A change
// of the spec has its own impact; what runs is compared where that stays.
func (k *Kind) Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error) {
	if change.From == nil || change.To == nil {
		return api.Plan{}, nil
	}
	l := layout{name: name}
	app, err := k.systemd.Status(ctx, l.appUnit(slotBlue))
	if err != nil {
		return api.Plan{}, err
	}
	nginx, err := k.systemd.Status(ctx, l.nginxUnit())
	if err != nil {
		return api.Plan{}, err
	}
	if !app.Active() || !nginx.Active() {
		return api.Plan{Impact: api.ImpactRestart}, nil
	}
	if string(api.Encode(change.From.Spec)) != string(api.Encode(change.To.Spec)) {
		return api.Plan{}, nil
	}
	if other, _ := k.runsOther(l, *change.From, app.MainPID); other != "" {
		return api.Plan{Impact: api.ImpactRestart}, nil
	}
	if k.revisionInForce(ctx, l) != recordedRevision(l, change.From.State) {
		return api.Plan{Impact: api.ImpactReload}, nil
	}
	return api.Plan{Impact: api.ImpactNone}, nil
}

// nginxRestarts reports whether a reload is not enough for nginx: its unit
// changed, or the group that opens the app's socket to it.
func nginxRestarts(l layout, change converge.Change) bool {
	return change.Changed(l.nginxUnitFile()) || change.Changed(converge.UserKey(l.user()))
}

// appChanged says what of the app's own a change touches, "" if nothing.
func appChanged(l layout, change converge.Change) string {
	touched := []struct{ path, what string }{
		{converge.UserKey(l.user()), "its user was made again"},
		{l.slot(slotBlue), "its release changed"},
		{l.appTemplate(), "its unit changed"},
		{l.environment(slotBlue), "its environment changed"},
		{l.secrets(slotBlue), "its secrets changed"},
	}
	for _, tree := range change.To.State.Trees {
		touched = append(touched, struct{ path, what string }{tree.Path, "its release was put back"})
	}
	for _, t := range touched {
		if change.Changed(t.path) {
			return t.what
		}
	}
	if change.From != nil {
		from, _ := specOf(change.From.Spec)
		to, _ := specOf(change.To.Spec)
		if from.SecretsVersion != to.SecretsVersion {
			return "the version of its secrets changed"
		}
	}
	return ""
}

// Apply makes app and nginx follow the files. What it does depends on what
// runs as well as on the change, so that it can be run again after it was cut
// off, and repairs a unit that was stopped by hand.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To == nil {
		return nil // stopping the units is all there is to do
	}
	s, err := specOf(change.To.Spec)
	if err != nil {
		return err
	}
	r := rollout{kind: k, layout: layout{name: change.Name}, spec: s, change: change, progress: progress, began: k.clock.Now()}
	logged := k.followLogs(ctx, change)
	if change.Undo {
		return errors.Join(r.undo(ctx), logged)
	}
	if logged != nil {
		return logged
	}
	return r.run(ctx)
}

// rollout is one Apply.
type rollout struct {
	kind     *Kind
	layout   layout
	spec     api.AppServer
	change   converge.Change
	progress converge.Progress
	// began is when it did: later lines of the log are about it.
	began time.Time
}

func (r rollout) appUnit() string { return r.layout.appUnit(slotBlue) }

func (r rollout) release() string { return r.layout.release(r.spec.Release.SHA256) }

func (r rollout) run(ctx context.Context) error {
	reason, err := r.restartReason(ctx)
	if err != nil {
		return err
	}
	if reason != "" {
		if err := r.startApp(ctx, reason); err != nil {
			return err
		}
	}
	if err := r.followNginx(ctx); err != nil {
		return err
	}
	site := siteEndpoint(r.spec)
	r.progress(api.PhaseVerify, "asking the app through nginx on %s", site.Address)
	return r.pass(ctx, site, "through nginx on "+site.Address, r.appUnit(), r.layout.nginxUnit())
}

// restartReason says why the app has to be restarted, "" if it need not. On
// the way back it need not if it was never touched: the process tells.
func (r rollout) restartReason(ctx context.Context) (string, error) {
	status, err := r.kind.systemd.Status(ctx, r.appUnit())
	if err != nil {
		return "", err
	}
	if !status.Active() {
		return "it does not run", nil
	}
	other, known := r.kind.runsOther(r.layout, *r.change.To, status.MainPID)
	if known && (other != "" || r.change.Undo) {
		return other, nil
	}
	return appChanged(r.layout, r.change), nil
}

func (r rollout) startApp(ctx context.Context, reason string) error {
	if err := r.kind.machine.checkProgram(r.spec.Command[0], r.release()); err != nil {
		return err
	}
	r.progress(api.PhaseActivate, "starting the app: %s", reason)
	if err := r.kind.systemd.Restart(ctx, r.appUnit()); err != nil {
		return r.failed(ctx, "The app did not start", err, r.appUnit())
	}
	endpoint := appEndpoint(r.layout, r.spec, slotBlue)
	r.progress(api.PhaseVerify, "waiting for %d good answers in a row from the app, at most %s",
		r.spec.HealthCheck.Successes, r.spec.HealthCheck.StartTimeout)
	return r.pass(ctx, endpoint, "on "+endpoint.Address, r.appUnit())
}

// pass waits at the gate until the app answers at the endpoint.
func (r rollout) pass(ctx context.Context, endpoint Endpoint, where string, units ...string) error {
	h := r.spec.HealthCheck
	alive, err := r.kind.watch(ctx, appPatience, units...)
	if err != nil {
		return err
	}
	err = gate{
		clock: r.kind.clock,
		ask:   func(ctx context.Context) (string, bool) { return r.kind.check(ctx, h, endpoint) },
		alive: alive,
	}.wait(ctx, h)
	if err == nil {
		return nil
	}
	detail := fmt.Errorf("release %s, asked for %s %s: %w", path.Base(r.release()), h.Path, where, err)
	return r.failed(ctx, "The app did not become healthy", detail, r.appUnit())
}

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
		return r.failed(ctx, "nginx did not start", err, unit)
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
		return r.failed(ctx, "nginx did not take its configuration", err, unit)
	}
	return nil
}

// undo brings back what ran before. It waits for its health, so that who looks
// next sees how it is and not how it starts, and fails for nothing of that: it
// was what it was.
func (r rollout) undo(ctx context.Context) error {
	reason, err := r.restartReason(ctx)
	if err != nil {
		return err
	}
	if reason != "" {
		r.progress(api.PhaseRollback, "starting the app as it was before")
		if err := r.kind.systemd.Restart(ctx, r.appUnit()); err != nil {
			return r.failed(ctx, "The previous release did not start", err, r.appUnit())
		}
	}
	if err := r.followNginx(ctx); err != nil || reason == "" {
		return err
	}
	r.spec.HealthCheck.StartTimeout = min(r.spec.HealthCheck.StartTimeout, undoPatience)
	endpoint := appEndpoint(r.layout, r.spec, slotBlue)
	if err := r.pass(ctx, endpoint, "on "+endpoint.Address, r.appUnit()); err != nil {
		r.progress(api.PhaseRollback, "the app runs as before and is not healthy: %v", err)
	}
	return nil
}

// failed makes the problem of a failure, with the unit's log since the rollout
// began. The log is read even if the operation's time is up; that stays the cause.
func (r rollout) failed(ctx context.Context, title string, cause error, unit string) error {
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	problem := &api.Problem{Type: api.ProblemRolledBack, Title: title, Detail: cause.Error()}
	lines, err := []string(nil), r.kind.journal.Sync(reading, unit)
	if err == nil {
		lines, err = r.kind.log(reading, r.layout, unit, failureLines, startSince(r.began))
	}
	if err != nil {
		lines = []string{"(the log cannot be shown: " + err.Error() + ")"}
	}
	problem.Log = lines
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), problem)
	}
	return problem
}
