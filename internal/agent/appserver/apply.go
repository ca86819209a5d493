package appserver

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
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
	// appFailures in a row end the patience with an app that was healthy already. A full
	// queue of connections is one.
	appFailures = 3
	// switchedTimeout bounds the wait for the app once it has the traffic, beside the
	// timeout of the check that is under way; switchedPause is the longest pause in it.
	switchedTimeout = api.Duration(5 * time.Second)
	switchedPause   = api.Duration(500 * time.Millisecond)
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
	beside := liveSlot(l, change.From.State) != liveSlot(l, change.To.State)
	switch {
	case nginxRestarts(l, change) || !beside && appChanged(l, change) != "":
		return api.ImpactRestart
	case beside:
		return api.ImpactRelease
	case change.Changed(l.nginxConfig()):
		return api.ImpactReload
	}
	return api.ImpactNone
}

// The compiler says it first if the kind and its contract part.
var (
	_ operation.Previewer = (*Kind)(nil)
	_ operation.Switcher  = (*Kind)(nil)
)

// Preview adds to the impact of a change what the running app and nginx need
// beyond it: one that is down is started, an app that runs with other settings
// or another release is started again, an nginx that does is reloaded. A change
// of the spec has its own impact; what runs is compared where that stays. A port that
// nginx will not get is a condition, and so is a limit of memory that bounds nothing.
func (k *Kind) Preview(ctx context.Context, name string, change converge.Change) (api.Plan, error) {
	if change.To == nil {
		return api.Plan{}, nil
	}
	l := layout{name: name}
	taken, err := k.portTaken(ctx, l, change)
	if err != nil {
		return api.Plan{}, err
	}
	unlimited, err := k.noLimit(change)
	found := append(taken, unlimited...)
	if err != nil || change.From == nil {
		return api.Plan{Conditions: found}, err
	}
	impact, err := k.impactOfRepair(ctx, l, change)
	return api.Plan{Impact: impact, Conditions: found}, err
}

// impactOfRepair returns what the running app and nginx need, "" where that is for [Kind.Impact] to say.
func (k *Kind) impactOfRepair(ctx context.Context, l layout, change converge.Change) (api.Impact, error) {
	s, err := specOf(change.From.Spec)
	if err != nil {
		return "", err
	}
	live := liveSlot(l, change.From.State)
	app, nginx, err := k.statuses(ctx, l, s, live)
	if err != nil {
		return "", err
	}
	if !app.Active() || !nginx.Active() {
		return api.ImpactRestart, nil
	}
	if string(api.Encode(change.From.Spec)) != string(api.Encode(change.To.Spec)) {
		return "", nil
	}
	if other, _ := k.runsOther(l, *change.From, app.MainPID); other != "" && live == liveSlot(l, change.To.State) {
		return api.ImpactRestart, nil
	}
	if k.revisionInForce(ctx, l) != recordedRevision(l, change.From.State) {
		return api.ImpactReload, nil
	}
	return api.ImpactNone, nil
}

// statuses returns those of the app in a slot and of nginx, which is all there is
// of a site of files.
func (k *Kind) statuses(ctx context.Context, l layout, s api.AppServer, slot string) (app, nginx systemd.Status, err error) {
	if nginx, err = k.systemd.Status(ctx, l.nginxUnit()); err != nil || s.StaticSite() {
		return nginx, nginx, err
	}
	app, err = k.systemd.Status(ctx, l.appUnit(slot))
	return app, nginx, err
}

// nginxRestarts reports whether a reload is not enough for nginx: its unit, or what
// amends that, changed beyond what counts for a process that runs, or the group that opens the
// app's socket to it.
func nginxRestarts(l layout, change converge.Change) bool {
	if change.Changed(converge.UserKey(l.user())) || change.Amends(l.unit(l.nginxUnit())) {
		return true
	}
	file := l.nginxUnitFile()
	return change.Changed(file) && (change.Edited[file] ||
		withoutTimeout(change.Before().File(file).Content) != withoutTimeout(change.To.State.File(file).Content))
}

func withoutTimeout(unit []byte) string {
	var kept strings.Builder
	for line := range strings.Lines(string(unit)) {
		if !strings.HasPrefix(line, stopTimeout) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// askedFor is why an app is started again that nothing else is wrong with.
const askedFor = "a restart was asked for"

// appChanged says what of the app's own a change touches in its slot, "" if
// nothing.
func appChanged(l layout, change converge.Change) string {
	if change.Restart {
		return askedFor
	}
	slot := liveSlot(l, change.To.State)
	touched := []struct{ path, what string }{
		{converge.UserKey(l.user()), "its user was made again"},
		{l.slotRelease(slot), "its release changed"},
		{l.appUnitFile(slot), "its unit changed"},
		{l.environment(slot), "its environment changed"},
		{l.secrets(slot), "its secrets changed"},
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

// Apply makes app and nginx follow the files: the app of the slot that the
// traffic is to go to is started, beside the one that it goes to as yet, and has
// to become healthy. What it does depends on what runs as well as on the change,
// so that it can be run again after it was cut off, and repairs a unit that was
// stopped by hand.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To == nil {
		return nil // stopping the units is all there is to do
	}
	r, err := k.rollout(change, progress)
	if err != nil {
		return err
	}
	if change.Undo {
		return r.undo(ctx)
	}
	if err := k.followLogs(ctx, change); err != nil {
		return err
	}
	return r.run(ctx)
}

// Switched sees that nginx reaches the app in the slot that the traffic goes to
// now. The app has passed the gate, so one good answer shows that, and bad ones end
// it soon: users get them too.
func (k *Kind) Switched(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To == nil {
		return nil
	}
	r, err := k.rollout(change, progress)
	if err != nil {
		return err
	}
	if change.Undo { // the files of before are back, which know nothing of the slot that failed
		return errors.Join(r.followNginx(ctx), k.followLogs(ctx, change))
	}
	site := siteEndpoint(r.spec)
	r.progress(api.PhaseVerify, "asking the app through nginx on %s", site.Address)
	check := r.spec.HealthCheck
	check.Successes, check.Interval = 1, min(check.Interval, switchedPause)
	check.StartTimeout = min(check.StartTimeout, switchedTimeout)
	return r.pass(ctx, asking{
		endpoint: site, where: "through nginx on " + site.Address, nginx: true,
		check: check, failures: appFailures, ends: appPatience, units: r.running(),
	})
}

// rollout is one Apply, or what follows its switch.
type rollout struct {
	kind     *Kind
	layout   layout
	spec     api.AppServer
	slot     string
	change   converge.Change
	progress converge.Progress
	// began is when it did: later lines of the log are about it.
	began time.Time
}

func (k *Kind) rollout(change converge.Change, progress converge.Progress) (rollout, error) {
	s, err := specOf(change.To.Spec)
	l := layout{name: change.Name}
	return rollout{
		kind: k, layout: l, spec: s, slot: liveSlot(l, change.To.State),
		change: change, progress: progress, began: k.clock.Now(),
	}, err
}

// secrets are those of the versions before and after.
func (r rollout) secrets() []map[string]api.Secret {
	secrets := []map[string]api.Secret{r.change.To.Secrets}
	if r.change.From != nil {
		secrets = append(secrets, r.change.From.Secrets)
	}
	return secrets
}

func (r rollout) appUnit() string { return r.layout.appUnit(r.slot) }

func (r rollout) release() string { return r.layout.release(r.spec.Release.SHA256) }

func (r rollout) run(ctx context.Context) error {
	if err := r.kind.machine.checkStatic(r.spec, r.release()); err != nil { // of a release that was just unpacked
		return err
	}
	if r.spec.StaticSite() {
		return r.runStatic(ctx)
	}
	reason, err := r.restartReason(ctx)
	if err != nil {
		return err
	}
	hold, err := r.hold(ctx)
	if err != nil {
		return err
	}
	var healthy health
	if reason != "" {
		if healthy, err = r.startApp(ctx, reason); err != nil {
			return err
		}
	}
	if err := r.followNginx(ctx); err != nil {
		return err
	}
	if err := r.askThroughNginx(ctx, hold, healthy); err != nil {
		return err
	}
	for _, w := range r.kind.shortBacklog(r.layout, r.spec, r.slot) { // a plan shows it until it is mended, and this apply already
		r.change.Warn(w.Type, w.Pointer, "%s", w.Message)
	}
	return nil
}

// askThroughNginx sees that nginx reaches the app in its slot, before the traffic goes
// there: the agent is root, which opens any socket. All the time of hold the app has to
// stay healthy, since it was that. An app that was may not end any more, and has no time to
// become healthy again.
func (r rollout) askThroughNginx(ctx context.Context, hold api.Duration, healthy health) error {
	if hold > 0 {
		r.progress(api.PhaseVerify, "asking the app through nginx for %s in which it has to stay healthy, while the release before it serves", hold)
	} else {
		r.progress(api.PhaseVerify, "asking the app through nginx, in slot %s", r.slot)
	}
	a := asking{
		endpoint: Endpoint{Network: "unix", Address: r.layout.adminSocket()}, path: adminSlotPath(r.slot),
		where: "through nginx in slot " + r.slot, nginx: true,
		check: r.spec.HealthCheck, hold: hold, healthy: healthy, ends: appPatience, units: r.running(),
	}
	if healthy.alive != nil {
		a.failures = appFailures
	}
	return r.pass(ctx, a)
}

// runStatic has nginx show the files of the slot, to the agent first.
func (r rollout) runStatic(ctx context.Context) error {
	if err := r.followNginx(ctx); err != nil {
		return err
	}
	endpoint := appEndpoint(r.layout, r.spec, r.slot)
	return r.pass(ctx, asking{
		endpoint: endpoint, where: "in slot " + r.slot,
		check: r.spec.HealthCheck, ends: appPatience, units: r.running(),
	})
}

// running returns the units that serve.
func (r rollout) running() []string {
	if r.spec.StaticSite() {
		return []string{r.layout.nginxUnit()}
	}
	return []string{r.appUnit(), r.layout.nginxUnit()}
}

// restartReason says why the app has to be restarted, "" if it need not. On
// the way back it need not if it was never touched: the process tells.
func (r rollout) restartReason(ctx context.Context) (string, error) {
	if r.change.Restart && !r.change.Undo {
		return askedFor, nil
	}
	if before := liveSlot(r.layout, r.change.Before()); before != "" && before != r.slot && !r.change.Undo {
		return "its settings differ from those of slot " + before, nil
	}
	status, err := r.kind.systemd.Status(ctx, r.appUnit())
	if err != nil {
		return "", err
	}
	if !status.Active() {
		return "it does not run", nil
	}
	if r.change.Undo && liveSlot(r.layout, r.change.Before()) != r.slot {
		return "", nil // what failed stood beside it
	}
	other, known := r.kind.runsOther(r.layout, *r.change.To, status.MainPID)
	if known && (other != "" || r.change.Undo) {
		return other, nil
	}
	return appChanged(r.layout, r.change), nil
}

// health is since when an app is healthy; alive tells whether it has ended since then.
type health struct {
	since time.Time
	alive func(ctx context.Context) error
}

// startApp starts the app and waits for its health.
func (r rollout) startApp(ctx context.Context, reason string) (health, error) {
	if err := r.kind.machine.checkProgram(r.spec.Command[0], r.release()); err != nil {
		return health{}, err
	}
	if err := r.portFree(); err != nil {
		return health{}, err
	}
	r.progress(api.PhaseActivate, "starting the app in slot %s: %s", r.slot, reason)
	if err := r.kind.systemd.Restart(ctx, r.appUnit()); err != nil {
		return health{}, r.notStarted(ctx, err)
	}
	r.progress(api.PhaseVerify, "waiting for %d good answers in a row from the app, at most %s",
		r.spec.HealthCheck.Successes, r.spec.HealthCheck.StartTimeout)
	if err := r.askApp(ctx, r.spec.HealthCheck); err != nil {
		return health{}, err
	}
	alive, err := r.kind.watch(ctx, 1, r.appUnit())
	return health{since: r.kind.clock.Now(), alive: alive}, err
}

// askApp waits for the health of the app itself.
func (r rollout) askApp(ctx context.Context, check api.AppHealthCheck) error {
	endpoint := appEndpoint(r.layout, r.spec, r.slot)
	return r.pass(ctx, asking{
		endpoint: endpoint, where: "on " + endpoint.Address,
		check: check, ends: appPatience, units: []string{r.appUnit()},
	})
}

// hold returns how long the app has to stay healthy before the traffic goes to
// it: not at all where nothing else serves meanwhile.
func (r rollout) hold(ctx context.Context) (api.Duration, error) {
	before := liveSlot(r.layout, r.change.Before())
	if before == "" || before == r.slot {
		return 0, nil
	}
	status, err := r.kind.systemd.Status(ctx, r.layout.appUnit(before))
	if err != nil || !status.Active() {
		return 0, err
	}
	return r.spec.HealthCheck.MinHealthyTime, nil
}

// undo brings back what ran before. It waits for its health, so that who looks
// next sees how it is and not how it starts, and fails for nothing of that: it
// was what it was.
func (r rollout) undo(ctx context.Context) error {
	if r.spec.StaticSite() {
		return nil
	}
	reason, err := r.restartReason(ctx)
	if err != nil {
		return err
	}
	ended := 0
	if reason != "" {
		r.progress(api.PhaseRollback, "starting the app as it was before")
		if err := r.kind.systemd.Restart(ctx, r.appUnit()); err != nil {
			return r.failed(ctx, "The previous release did not start", err, r.appUnit())
		}
	} else if ended, err = r.endsAlone(ctx); err != nil || ended == 0 {
		return err
	}
	check := r.spec.HealthCheck
	check.StartTimeout = min(check.StartTimeout, undoPatience)
	if err := r.askApp(ctx, check); err != nil {
		status, unknown := r.kind.systemd.Status(ctx, r.appUnit())
		if unknown == nil && (!status.Active() || ends(status) > ended) { // between two ends it runs for a moment
			r.progress(api.PhaseRollback, "the app does not run any more: %v", err)
			return &converge.DownError{Unit: r.appUnit()}
		}
		r.progress(api.PhaseRollback, "the app runs as before and is not healthy: %v", err)
	}
	return nil
}

// endsAlone returns how often an app ended by itself that runs and that the traffic is to
// go back to: it may be between two ends. Of one that has the traffic it does not matter.
func (r rollout) endsAlone(ctx context.Context) (int, error) {
	if r.kind.serving(r.layout, r.slot) == r.slot {
		return 0, nil
	}
	status, err := r.kind.systemd.Status(ctx, r.appUnit())
	return ends(status), err
}

// failed makes the problem of a failure, with the unit's log since the rollout
// began. The log is read even if the operation's time is up; that stays the cause.
func (r rollout) failed(ctx context.Context, title string, cause error, unit string) error {
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	problem := &api.Problem{Type: api.ProblemRolledBack, Title: title}
	if p, ok := errors.AsType[*placed](cause); ok {
		problem.Violations = api.Violations{{Pointer: p.pointer, Detail: cause.Error()}}
	} else {
		problem.Detail = cause.Error()
	}
	lines, err := []string(nil), r.kind.journal.Sync(reading, unit)
	if err == nil {
		lines, err = r.kind.log(reading, r.layout, unit, failureLines, startSince(r.began), r.secrets()...)
	}
	if err != nil {
		lines = []string{"(the log cannot be shown: " + err.Error() + ")"}
	}
	problem.Log = fold(lines)
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), problem)
	}
	return problem
}
