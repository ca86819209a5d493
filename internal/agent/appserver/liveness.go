package appserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// vitalInterval is how often the agent looks whether the app's process is there,
	// where load balancers ask for it. It costs two reads of a link, and two looks at modes.
	vitalInterval = 100 * time.Millisecond
	// answerInterval is how often a process that has not answered yet is asked.
	answerInterval = 200 * time.Millisecond
	// retryInterval is how soon something is tried again that could not be done.
	retryInterval = time.Second
	// lateness is how much later than planned a look may be. Of a later one a bad
	// answer counts for nothing: the machine is too busy to say whose fault it is.
	lateness = time.Second
	// idleInterval is how often a watcher wakes that has nothing to do.
	idleInterval = time.Hour
	// restartSlack is what a restart may take beyond the time that the app has to stop.
	restartSlack = 30 * time.Second
	// keptDir has what a restart of the agent must not forget, and a boot may.
	keptDir = "/run/foobar/liveness"
)

// watcher looks after the app of one app server: it notices that the app hangs or has
// died, tells load balancers, and restarts an app that hangs. One goroutine runs it.
//
// What it does not know it does not say: until it has seen the app alive, dead or
// hung, load balancers get no answer, which then go on by themselves.
type watcher struct {
	kind    *Kind
	layout  layout
	applied <-chan converge.Version
	between func(ctx context.Context, do func(ctx context.Context) error) (bool, error)
	log     hclog.Logger

	spec api.AppServer
	// home is the slot whose app was started with the spec, secrets are those that it got.
	home    string
	secrets map[string]api.Secret
	// slot and pid are the process that is watched, since when; 0 if there is none.
	slot  string
	pid   int
	since time.Time
	// answered tells that the process has given a good answer, known that it was seen
	// alive, dead or hung.
	answered, known bool
	// probing tells that a question is on its way, whose answer comes on results; due
	// is when the next one is asked.
	probing bool
	results chan result
	due     time.Time
	// wake is when the next step was planned, restart not before when one is tried.
	wake, restart time.Time
	port          agentPort
	asking        sync.WaitGroup

	// mu guards what others read.
	mu    sync.Mutex
	pulse pulse
	// state is what load balancers are answered, "" for nothing.
	state api.AgentCheck
}

// result is the answer to a question.
type result struct {
	pid  int
	said string
	good bool
	late bool
}

// watchers are those of a kind, by the name of their app server.
type watchers struct {
	mu  sync.Mutex
	all map[string]*watcher
}

func (s *watchers) set(name string, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*watcher{}
	}
	s.all[name] = w
	if w == nil {
		delete(s.all, name)
	}
}

// of returns the watcher of an app server, nil if there is none.
func (s *watchers) of(name string) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[name]
}

var _ operation.Supervisor = (*Kind)(nil)

// Supervise implements [operation.Supervisor].
func (k *Kind) Supervise(ctx context.Context, c operation.Supervised) {
	w := newWatcher(k, c)
	k.watchers.set(c.Name, w)
	defer func() {
		k.watchers.set(c.Name, nil)
		w.asking.Wait()
		w.port.close()
		if errors.Is(context.Cause(ctx), operation.ErrRemoved) {
			_ = os.Remove(w.keptPath())
		}
	}()
	timer := time.NewTimer(idleInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-w.applied:
			w.take(v, k.clock.Now())
		case r := <-w.results:
			w.note(r, k.clock.Now())
		case <-timer.C:
		}
		timer.Reset(w.step(ctx, k.clock.Now()))
	}
}

func newWatcher(k *Kind, c operation.Supervised) *watcher {
	w := &watcher{kind: k, layout: layout{name: c.Name}, applied: c.Applied, between: c.Between, log: c.Log, results: make(chan result, 1)}
	if text, err := os.ReadFile(w.keptPath()); err == nil && json.Unmarshal(text, &w.pulse) != nil {
		w.pulse = pulse{}
	}
	w.pulse.Failures, w.pulse.Alive = 0, time.Time{}
	return w
}

// take goes by what was applied from now on.
func (w *watcher) take(v converge.Version, now time.Time) {
	if s, err := specOf(v.Spec); err == nil {
		w.home, w.secrets = liveSlot(w.layout, v.State), v.Secrets
		w.follow(s, now)
	}
}

// follow goes by a spec. What failed another liveness check counts for nothing.
func (w *watcher) follow(s api.AppServer, now time.Time) {
	w.mu.Lock()
	if before := w.spec.Liveness; before == nil || s.Liveness == nil || *before != *s.Liveness {
		w.pulse.Failures = 0
	}
	w.spec = s
	w.mu.Unlock()
	w.due, w.wake = now, now
	w.port.retry = now
	trusted := prefixes(s.TrustedProxies)
	w.port.trusted.Store(&trusted)
}

// step does what is due, and returns when it is to be called again.
func (w *watcher) step(ctx context.Context, now time.Time) time.Duration {
	late := now.Sub(w.wake) > lateness
	w.port.follow(w, now)
	if w.spec.Liveness == nil && w.spec.AgentCheckPort == 0 {
		w.decide()
		w.wake = now.Add(idleInterval)
		return idleInterval
	}
	w.look(ctx, now) // what it cannot see is as before
	if w.pid != 0 && w.knows() && !w.probing && !now.Before(w.due) {
		w.ask(ctx, late)
	}
	w.decide()
	if w.pulse.hung(w.spec.Liveness) && !now.Before(w.pulse.next()) && !now.Before(w.restart) {
		w.bringBack(ctx, now)
		w.decide()
	}
	pause := w.pause(now)
	w.wake = now.Add(pause)
	return pause
}

// pause returns how long nothing is due.
func (w *watcher) pause(now time.Time) time.Duration {
	switch {
	case w.spec.AgentCheckPort != 0:
		return vitalInterval
	case w.pid == 0 || !w.knows() || w.pulse.hung(w.spec.Liveness):
		return retryInterval
	case w.probing:
		return idleInterval // its answer wakes the watcher
	}
	return max(w.due.Sub(now), 0)
}

// knows reports whether the app that has the traffic was started with the spec. From a
// release's switch to its commit it was not.
func (w *watcher) knows() bool { return w.slot == w.home }

// look finds the process of the slot that has the traffic, and reports whether it could.
// systemd is asked only where the one that was seen last is gone.
func (w *watcher) look(ctx context.Context, now time.Time) bool {
	slot := w.kind.serving(w.layout, w.home)
	gone := !w.kind.machine.runs(w.pid)
	if slot == w.slot && !gone {
		return true
	}
	status, err := w.kind.systemd.Status(ctx, w.layout.appUnit(slot))
	if err != nil {
		return false
	}
	if !w.kind.machine.runs(status.MainPID) { // systemd has not noticed yet
		status.MainPID = 0
	}
	if slot == w.slot && status.MainPID == w.pid {
		return true
	}
	if gone || slot == w.slot { // else the traffic was led to another one, which was found healthy before
		w.answered, w.known = false, w.known || w.slot != ""
	}
	w.slot, w.pid, w.since, w.due = slot, status.MainPID, now, now
	w.mu.Lock()
	w.pulse.Failures, w.pulse.Alive = 0, time.Time{}
	w.mu.Unlock()
	return true
}

// ask asks the process whether it is alive.
func (w *watcher) ask(ctx context.Context, late bool) {
	check := api.AppHealthCheck{Path: w.spec.HealthCheck.Path, Timeout: w.spec.HealthCheck.Timeout}
	if l := w.spec.Liveness; l != nil {
		check.Path, check.Timeout = l.Path, l.Timeout
	}
	pid, spec, slot, show := w.pid, w.spec, w.slot, w.kind.show(w.layout, w.secrets)
	w.probing = true
	w.asking.Go(func() {
		began := w.kind.clock.Now()
		said, good := w.kind.serves(ctx, w.layout, spec, slot, check, show)
		took := w.kind.clock.Now().Sub(began)
		w.results <- result{pid: pid, said: said, good: good, late: late || took > time.Duration(check.Timeout)+lateness}
	})
}

// note takes an answer.
func (w *watcher) note(r result, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.spec.Liveness
	w.probing = false
	w.due = now.Add(idleInterval) // without liveness only a new process is asked
	if l != nil {
		w.due = now.Add(time.Duration(l.Interval))
	}
	starts := !w.answered && now.Before(w.since.Add(time.Duration(w.spec.HealthCheck.StartTimeout)))
	switch {
	case r.pid != w.pid:
		w.due = now
	case r.good:
		w.answered, w.known = true, true
		w.pulse.good(now)
	case starts, !w.answered && l == nil:
		w.due = now.Add(answerInterval)
	case r.late || l == nil:
	default:
		w.pulse.bad(r.said)
	}
}

// decide chooses what load balancers are answered.
func (w *watcher) decide() {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs, hung := w.pid != 0, w.pulse.hung(w.spec.Liveness)
	w.known = w.known || w.slot != "" && !runs || hung
	w.state = stateOf(w.known, runs && w.kind.closedToNginx(w.layout, w.spec, w.slot) == "", w.answered, hung)
}

// stateOf returns what load balancers are answered of an app: nothing until it was seen
// alive, dead or hung.
func stateOf(known, reachable, answered, hung bool) api.AgentCheck {
	switch {
	case !known:
		return ""
	case reachable && answered && !hung:
		return api.AgentCheckUp
	}
	return api.AgentCheckDown
}

// bringBack restarts an app that hangs, unless an operation is at work on it, which is
// left to its own health gate.
func (w *watcher) bringBack(ctx context.Context, now time.Time) {
	l := *w.spec.Liveness
	bounded, cancel := context.WithTimeout(ctx, time.Duration(l.Timeout)+time.Duration(w.spec.StopTimeout)+restartSlack)
	defer cancel()
	w.restart = now.Add(retryInterval)
	restarted := false
	ran, err := w.between(bounded, func(ctx context.Context) error {
		if restarted = w.hangsOn(ctx); !restarted {
			return nil
		}
		return w.kind.systemd.Restart(ctx, w.layout.appUnit(w.slot))
	})
	if !ran || !restarted || ctx.Err() != nil {
		return
	}
	now = w.kind.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	failures := w.pulse.Failures
	w.pulse.restarted(now)
	w.answered, w.pid, w.since = false, 0, now
	about := []any{"failures", failures, "said", w.pulse.Said, "restarts", w.pulse.Restarts, "again_not_before", w.pulse.next().UTC().Format(time.RFC3339)}
	if err != nil {
		w.log.Error("the app hangs and could not be restarted", append(about, "error", err)...)
	} else {
		w.log.Warn("the app hung and was restarted: it failed its liveness check", about...)
	}
	if err := w.keep(); err != nil {
		w.log.Warn("how often the app was restarted is not kept over a restart of the agent", "error", err)
	}
}

// hangsOn looks again in the watcher's turn, in which no operation is at work: one may
// have replaced the app or its liveness check since the app was seen to hang, or the
// app may have recovered.
func (w *watcher) hangsOn(ctx context.Context) bool {
	now := w.kind.clock.Now()
	select {
	case v := <-w.applied:
		w.take(v, now)
	default:
	}
	slot, pid, l := w.slot, w.pid, w.spec.Liveness
	if !w.pulse.hung(l) || !w.look(ctx, now) || !w.knows() || w.slot != slot || w.pid != pid {
		return false
	}
	check := api.AppHealthCheck{Path: l.Path, Timeout: l.Timeout}
	_, recovered := w.kind.serves(ctx, w.layout, w.spec, w.slot, check, w.kind.show(w.layout, w.secrets))
	if recovered {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pulse.good(now)
	}
	return !recovered
}

func (w *watcher) keptPath() string {
	return w.kind.machine.path(filepath.Join(keptDir, w.layout.name+".json"))
}

// keep writes down what a restart of the agent must not forget.
func (w *watcher) keep() error {
	path := w.keptPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", api.Encode(w.pulse), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// serving returns the slot that has the traffic: the one that the link of the live
// release leads to. Where it leads to none, what is recorded counts.
func (k *Kind) serving(l layout, recorded string) string {
	target, err := os.Readlink(k.machine.path(l.current()))
	if slot := filepath.Base(target); err == nil && slices.Contains(slots(), slot) {
		return slot
	}
	return recorded
}

// runs reports whether there is a process.
func (m machine) runs(pid int) bool {
	return pid != 0 && m.exists(filepath.Join("/proc", strconv.Itoa(pid)))
}

// shownFor is how long the restart of an app that hung is worth a warning.
const shownFor = 24 * time.Hour

// lifeOf returns how often the agent has restarted the app since the boot, and what is
// wrong with its life.
func (k *Kind) lifeOf(name string) (restarts int, found []api.Condition) {
	w := k.watchers.of(name)
	if w == nil {
		return 0, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	found = w.port.conditions(w.spec)
	l, p := w.spec.Liveness, w.pulse
	switch {
	case l != nil && p.hung(l):
		found = append(found, api.Condition{
			Type: "AppHung", Severity: api.SeverityError, Pointer: "/liveness",
			Message: fmt.Sprintf("The app of %s hangs: asked for %s %s in a row, it %s. The agent restarts it %s",
				name, l.Path, times(p.Failures), strings.TrimSuffix(p.Said, "."), p.plan(k.clock.Now())),
		})
	case l != nil && p.Restarts > 0 && k.clock.Now().Sub(p.Last) < shownFor:
		found = append(found, api.Condition{
			Type: "AppWasHung", Severity: api.SeverityWarning, Pointer: "/liveness",
			Message: fmt.Sprintf("The agent restarted the app of %s because it failed its liveness check: %s since the boot, last at %s, when it %s. This warning ends %s after the last restart.",
				name, times(p.Restarts), clockTime(p.Last), strings.TrimSuffix(p.Said, "."), shownFor),
		})
	}
	return p.Restarts, found
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
