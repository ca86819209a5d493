package appserver

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// statusLines is how many of the app's lines go with its status.
const statusLines = 20

// lookTimeout bounds the health check of a look. Whoever asks gives up on the
// machine after some 30 s, while a health check may allow a minute.
const lookTimeout = 10 * time.Second

// Observe asks app and nginx what they do.
func (k *Kind) Observe(ctx context.Context, name string, applied converge.Version) (operation.Observation, error) {
	return k.observe(ctx, name, applied, nil)
}

// ObserveDuring does so while a release starts or ends beside the live one.
func (k *Kind) ObserveDuring(ctx context.Context, name string, applied converge.Version, change converge.Change) (operation.Observation, error) {
	return k.observe(ctx, name, applied, &change)
}

// observe gets the change that has not ended, nil if there is none.
func (k *Kind) observe(ctx context.Context, name string, applied converge.Version, open *converge.Change) (operation.Observation, error) {
	s, err := specOf(applied.Spec)
	if err != nil {
		return operation.Observation{}, err
	}
	l := layout{name: name}
	recorded := liveSlot(l, applied.State)
	live := k.serving(l, recorded)
	runs := s // what is best known of the app that has the traffic
	if open != nil && open.To != nil && live != recorded && live == liveSlot(l, open.To.State) {
		if runs, err = specOf(open.To.Spec); err != nil {
			return operation.Observation{}, err
		}
	}
	app, nginx, err := k.statuses(ctx, l, s, live)
	if err != nil {
		return operation.Observation{}, err
	}
	beside, err := k.systemd.Status(ctx, l.appUnit(other(live)))
	if err != nil {
		return operation.Observation{}, err
	}
	how := asked{spec: runs, through: live != recorded && open == nil && !runs.StaticSite()}
	status := k.status(ctx, l, live, how, app, applied.Secrets)
	slots := slotStates{layout: l, live: live, open: open, spec: runs, app: app, beside: beside}
	status.Slots = slots.explain(status.Release)
	drift := k.drift(ctx, l, live, applied, app, nginx)
	if live != recorded {
		drift[l.current()] = api.Drift{Detail: fmt.Sprintf("the traffic goes to slot %s, and slot %s is recorded: a release was switched and its record lost, or somebody changed the link", live, recorded)}
	}
	if slots.left() {
		drift[l.appUnit(other(live))] = api.Drift{Detail: "it runs, and no traffic goes to it"}
	}
	var restarting []string
	loop := k.restartLoop(l, app, status)
	if loop != nil {
		restarting = []string{l.appUnit(live)}
	}
	var backlog []api.Condition
	if app.Active() {
		backlog = k.shortBacklog(l, runs, live)
	}
	restarts, life := k.lifeOf(name)
	status.LivenessRestarts = restarts
	return operation.Observation{
		Spec:       s,
		Drift:      drift,
		Restarting: restarting,
		Conditions: slices.Concat(loop, k.conditions(l, app, status), backlog, life),
		Status:     status,
	}, nil
}

// asked is how the app that has the traffic is asked for its health.
type asked struct {
	// spec is what is best known of it.
	spec api.AppServer
	// through tells that it may listen elsewhere than spec says, since its own is lost: nginx
	// knows where.
	through bool
}

func (k *Kind) status(ctx context.Context, l layout, live string, how asked, app systemd.Status, secrets map[string]api.Secret) api.AppServerStatus {
	s := how.spec
	status := api.AppServerStatus{Slot: live, PID: app.MainPID, Restarts: app.NRestarts, Health: "does not run"}
	if signature, _ := signatureOf(s.Release); signature != nil { // it held before the release was unpacked
		status.SignedBy, status.TrustedComment = signature.KeyID(), api.Visible(signature.Comment())
	}
	if app.Active() {
		status.Release = s.Release.SHA256
		if other := k.otherRelease(l, s, app.MainPID); other != "" {
			status.Release = other
		}
		look := s.HealthCheck
		look.Timeout = min(look.Timeout, api.Duration(lookTimeout))
		if how.through {
			look.Path = adminSlotPath(live)
			status.Health, status.Healthy = k.check(ctx, look, Endpoint{Network: "unix", Address: l.adminSocket()}, k.show(l, secrets))
		} else {
			status.Health, status.Healthy = k.serves(ctx, l, s, live, look, k.show(l, secrets))
		}
	}
	unit := l.appUnit(live)
	if s.StaticSite() {
		unit = l.nginxUnit()
	}
	lines, err := k.log(ctx, l, unit, statusLines, lastStart, secrets)
	if err != nil {
		lines = []string{"(the log cannot be shown: " + err.Error() + ")"}
	}
	status.Log = lines
	return status
}

// serves asks the app in a slot, and says what it answered and whether users get such an
// answer: the agent is root and opens any socket, nginx does not.
func (k *Kind) serves(ctx context.Context, l layout, s api.AppServer, slot string, check api.AppHealthCheck, show shower) (string, bool) {
	said, good := k.check(ctx, check, appEndpoint(l, s, slot), show)
	if !good {
		return said, false
	}
	if closed := k.closedToNginx(l, s, slot); closed != "" {
		return fmt.Sprintf("answers, but nginx, which is in the group %s, cannot open its socket: %s", l.user(), closed), false
	}
	return said, true
}

// closedToNginx says why nginx cannot open the socket of the app in a slot, "" if it can, or
// has none to open.
func (k *Kind) closedToNginx(l layout, s api.AppServer, slot string) string {
	if s.StaticSite() || l.shims(s) {
		return ""
	}
	return k.machine.closedToGroup(l.appSocket(slot))
}

// drift finds what runs unlike what is on disk; what is on disk, and whether
// the units run at all, is compared elsewhere.
func (k *Kind) drift(ctx context.Context, l layout, live string, applied converge.Version, app, nginx systemd.Status) map[string]api.Drift {
	drift := map[string]api.Drift{}
	if other, _ := k.runsOther(l, applied, app.MainPID); app.Active() && other != "" {
		drift[l.appUnit(live)] = api.Drift{Detail: other}
	}
	if nginx.Active() && k.revisionInForce(ctx, l) != recordedRevision(l, applied.State) {
		drift[l.nginxUnit()] = api.Drift{Detail: "it runs another configuration than the applied one"}
	}
	return drift
}

// loopPause is how long an app has to run before its restarts are behind it: more than
// systemd's longest pause between two of them.
const loopPause = 5 * time.Minute

// restartLoop reports an app that ends again and again, also while it waits for its
// next start, and while it answers before it ends once more; nil if it does not.
func (k *Kind) restartLoop(l layout, app systemd.Status, status api.AppServerStatus) []api.Condition {
	if app.NRestarts < appPatience || k.clock.Now().Sub(app.MainStarted) >= loopPause {
		return nil
	}
	severity, now := api.SeverityError, "It does not answer now."
	if status.Healthy {
		severity, now = api.SeverityWarning, "It answers now."
	}
	return []api.Condition{{
		Type: "RestartLoop", Severity: severity,
		Message: fmt.Sprintf("The app of %s ended %s and was started again each time, last at %s. %s No apply of the same release mends that. Its log says why it ends: foobar-agent logs %s. This ends once the app has run for %d minutes.",
			l.name, times(app.NRestarts), clockTime(app.MainStarted), now, l.component(), int(loopPause.Minutes())),
	}}
}

func (k *Kind) conditions(l layout, app systemd.Status, status api.AppServerStatus) []api.Condition {
	var found []api.Condition
	if app.Active() && !status.Healthy {
		found = append(found, api.Condition{
			Type: "AppUnhealthy", Severity: api.SeverityError, Pointer: "/health_check",
			Message: fmt.Sprintf("The app of %s runs but fails its health check: %s. Its log may say why: foobar-agent logs %s", l.name, strings.TrimSuffix(status.Health, "."), l.component()),
		})
	}
	return append(found, k.drained(l)...)
}

// runsOther says how what a process was started with differs from a version,
// "" if it does not; known is false if the process does not tell.
func (k *Kind) runsOther(l layout, v converge.Version, pid int) (other string, known bool) {
	s, _ := specOf(v.Spec) // the caller made sure that it is one
	if s.StaticSite() {
		return "", false
	}
	if release := k.otherRelease(l, s, pid); release != "" {
		return "it runs release " + release, true
	}
	recorded, err := parseEnvironment(v.State.File(l.environment(liveSlot(l, v.State))).Content)
	running := k.machine.revision(pid)
	if err != nil || running == "" {
		return "", false
	}
	if running != recorded[revisionVariable] {
		return "it was started with other settings", true
	}
	return "", true
}

// otherRelease returns which release a process runs if it is not the spec's,
// "" if it is or cannot be determined. A process starts in its release's directory;
// one that went elsewhere is taken for what the files say.
func (k *Kind) otherRelease(l layout, s api.AppServer, pid int) string {
	dir, ok := strings.CutPrefix(k.machine.workingDirectory(pid), l.releases()+"/")
	if !ok || pid == 0 {
		return ""
	}
	release, _, _ := strings.Cut(dir, "/")
	if release == path.Base(l.release(s.Release.SHA256)) {
		return ""
	}
	return release
}

// recordedRevision is that of the nginx configuration that was applied.
func recordedRevision(l layout, state converge.State) string {
	return revisionOf(state.File(l.nginxConfig()).Content)
}

// revisionInForce asks nginx which configuration it runs, "" if it does not say.
func (k *Kind) revisionInForce(ctx context.Context, l layout) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := k.prober.Get(ctx, Endpoint{Network: "unix", Address: l.adminSocket()}, "/")
	if err != nil || answer.Status != http.StatusOK {
		return ""
	}
	return answer.Body
}

// log returns those of a unit's last lines that are kept, as [Kind.shows] does.
func (k *Kind) log(ctx context.Context, l layout, unit string, lines int, kept func(lines []api.LogLine, unit string) []api.LogLine, known ...map[string]api.Secret) ([]string, error) {
	show, err := k.shows(l, known...)
	if err != nil {
		return nil, err
	}
	read, err := k.journal.Lines(ctx, unit, lines)
	if err != nil {
		return nil, err
	}
	var shown []string
	for _, line := range kept(read, unit) {
		shown = append(shown, show(line.Message))
	}
	return shown, nil
}

// lastStart keeps the lines since the unit's last start. Those before it may
// hold secrets that the app no longer has, and that nobody knows any more.
func lastStart(lines []api.LogLine, unit string) []api.LogLine {
	for i, line := range slices.Backward(lines) {
		if starts(line, unit) {
			return lines[i:]
		}
	}
	return lines
}

// startSince keeps the lines from a time on, and of these the last start of which
// the app wrote something: systemd starts again what crashes, and each start says
// the same. Before the first start the process before it still had its say.
func startSince(since time.Time) func(lines []api.LogLine, unit string) []api.LogLine {
	return func(lines []api.LogLine, unit string) []api.LogLine {
		lines = slices.DeleteFunc(slices.Clone(lines), func(line api.LogLine) bool { return line.Time.Before(since) })
		from, said := 0, false
		for i, line := range slices.Backward(lines) {
			said = said || !line.Manager
			if starts(line, unit) {
				if from = i; said {
					break
				}
			}
		}
		return lines[from:]
	}
}

// starts reports whether a line is systemd's own on a start of the unit.
func starts(line api.LogLine, unit string) bool {
	return line.Manager && strings.HasPrefix(line.Message, "Starting "+unit)
}
