package loadbalancer

import (
	"context"
	"fmt"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Observe asks the running worker. Where it does not run, the spec counts as
// it was applied: that the unit is down is for converge to tell.
func (k *Kind) Observe(ctx context.Context, name string, applied converge.Version) (operation.Observation, error) {
	spec, err := specOf(applied.Spec)
	if err != nil {
		return operation.Observation{}, err
	}
	now, err := k.fresh(ctx, spec, k.engine(name))
	if ctx.Err() != nil {
		return operation.Observation{}, fmt.Errorf("observe the load balancer %s: %w", name, ctx.Err())
	}
	if err != nil {
		return k.unanswered(ctx, name, spec, err)
	}
	found := compare(spec, revisionOf(applied.State.File(pathsOf(name).config).Content), now)
	return operation.Observation{
		Spec:       found.observed,
		Drift:      drift(name, found.strange),
		Conditions: conditions(spec, now),
		Status:     status(now),
	}, nil
}

// unanswered is the observation of a HAProxy that said nothing.
func (k *Kind) unanswered(ctx context.Context, name string, spec api.LoadBalancer, cause error) (operation.Observation, error) {
	observation := operation.Observation{Spec: spec, Status: status(runtime{})}
	unit := pathsOf(name).unit
	state, err := k.units.Status(ctx, unit)
	if err != nil {
		return operation.Observation{}, fmt.Errorf("look at %s: %w", unit, err)
	}
	if state.Active() {
		observation.Conditions = []api.Condition{{
			Type: "EngineSilent", Severity: api.SeverityError,
			Message: fmt.Sprintf("%s runs but HAProxy does not answer, so its state is unknown: %v. See its journal, or restart the unit.", unit, cause),
		}}
	}
	return observation, nil
}

// drift tells of what differs in the running worker and is no value of the
// spec, under the unit's name.
func drift(name string, strange []api.Violation) map[string]api.Drift {
	if len(strange) == 0 {
		return nil
	}
	var d api.Drift
	var details []string
	for _, s := range strange {
		details = append(details, s.Detail)
		if s.Pointer != "" {
			d.Pointers = append(d.Pointers, s.Pointer)
		}
	}
	d.Detail = strings.Join(details, "; ")
	return map[string]api.Drift{pathsOf(name).unit: d}
}

// status returns what the worker shows, by the names of the spec.
func status(now runtime) api.LoadBalancerStatus {
	s := api.LoadBalancerStatus{
		Version:   now.info.Version,
		PID:       now.info.PID,
		Frontends: map[string]api.FrontendStatus{},
		Backends:  map[string]api.BackendStatus{},
	}
	for _, stat := range now.stats {
		switch stat.Sort {
		case haproxy.FrontendStat:
			s.Sessions += stat.Sessions
			s.Frontends[stat.Proxy] = api.FrontendStatus{Sessions: stat.Sessions, Requests: stat.Requests}
		case haproxy.ServerStat:
			addServer(backendStatus(&s, backendOf(stat.Proxy)), stat)
		case haproxy.BackendStat:
			backendStatus(&s, backendOf(stat.Proxy))
		}
	}
	return s
}

// addServer adds what one pool shows of a server: its work counts in all of
// them, its state is that of the one that is checked.
func addServer(b api.BackendStatus, stat haproxy.Stat) {
	s := b.Servers[stat.Server]
	s.Sessions += stat.Sessions
	s.Requests += stat.Requests
	if stat.Proxy == backendOf(stat.Proxy) {
		s.State, s.Check, s.Weight = serverState(stat), stat.Check, stat.Weight
	}
	b.Servers[stat.Server] = s
}

// backendStatus returns the status of a backend, made if need be.
func backendStatus(s *api.LoadBalancerStatus, name string) api.BackendStatus {
	if _, ok := s.Backends[name]; !ok {
		s.Backends[name] = api.BackendStatus{Servers: map[string]api.ServerStatus{}}
	}
	return s.Backends[name]
}

// serverState puts HAProxy's words, such as "UP 1/2", "MAINT (via a/b)" or "no
// check", into the four of the API. A server that is up without weight drains.
func serverState(stat haproxy.Stat) string {
	switch {
	case strings.HasPrefix(stat.Status, "DOWN"):
		return "down"
	case strings.HasPrefix(stat.Status, "MAINT"):
		return "maintenance"
	case strings.HasPrefix(stat.Status, "DRAIN"), strings.HasPrefix(stat.Status, "NOLB"), stat.Weight == 0:
		return "drain"
	}
	return "up"
}

// conditions are what is wrong with the traffic and not for an apply to repair.
func conditions(spec api.LoadBalancer, now runtime) []api.Condition {
	up := map[string]bool{} // the pools that have servers to send requests to
	for _, stat := range now.stats {
		if stat.Sort == haproxy.BackendStat && strings.HasPrefix(stat.Status, "UP") {
			up[stat.Proxy] = true
		}
	}
	var all []api.Condition
	for _, stat := range now.stats {
		at := api.Pointer("/backends").At(stat.Proxy)
		switch {
		case stat.Proxy != backendOf(stat.Proxy): // what else the servers are in
		case stat.Sort == haproxy.BackendStat && !strings.HasPrefix(stat.Status, "UP"):
			message := "No server of the backend %s takes requests: all are down or drained, and clients get 503. See why at each of its servers, or end their drain."
			if up[stat.Proxy+panicSuffix] {
				message = "No server of the backend %s is up and ready. Until one is, requests go to all of them that are not drained by drain = true, unchecked. See why at each of its servers."
			}
			all = append(all, api.Condition{
				Type: "BackendDown", Severity: api.SeverityError, Pointer: at, Message: fmt.Sprintf(message, stat.Proxy),
			})
		case stat.Sort == haproxy.ServerStat && drainedByItself(stat) != "":
			all = append(all, api.Condition{
				Type: "ServerDrained", Severity: api.SeverityInfo, Pointer: at.At("servers", stat.Server),
				Message: fmt.Sprintf("The server %s of the backend %s gets no new requests: %s.", stat.Server, stat.Proxy, drainedByItself(stat)),
			})
		case stat.Sort == haproxy.ServerStat && serverState(stat) == "down":
			all = append(all, api.Condition{
				Type: "ServerDown", Severity: api.SeverityWarning, Pointer: at.At("servers", stat.Server),
				Message: fmt.Sprintf("The server %s of the backend %s %s. %s", stat.Server, stat.Proxy, whyDown(stat), mendServer(stat)),
			})
		}
	}
	return append(all, processConditions(spec, now.info)...)
}

// processConditions are those of the worker as a process.
func processConditions(spec api.LoadBalancer, info haproxy.Info) []api.Condition {
	var all []api.Condition
	if missing := info.FilesNeeded - info.FileLimit; missing > 0 {
		all = append(all, fewFiles(spec, info, max(1, spec.MaxConnections-(missing+1)/2))...)
	}
	if info.DroppedLogs > 0 {
		all = append(all, api.Condition{
			Type: "LogsDropped", Severity: api.SeverityInfo,
			Message: fmt.Sprintf("HAProxy left out %s of the access log since its worker started, as the journal could not take them at once. The requests were served all the same, and nothing is to be done. This note ends with the next reload.", api.Count(info.DroppedLogs, "line")),
		})
	}
	return all
}

// busyAt is the share, in percent, of the connections that the machine has files
// for from which on it matters that there are not more.
const busyAt = 80

// fewFiles warns that the machine has files for fewer connections than are
// allowed: who asked for more than the default, and everybody once the clients come
// near. Before that it costs nobody anything.
func fewFiles(spec api.LoadBalancer, info haproxy.Info, fits int) []api.Condition {
	if spec.MaxConnections <= api.DefaultLoadBalancer().MaxConnections && info.Connections*100 < fits*busyAt {
		return nil
	}
	return []api.Condition{{
		Type: "FileLimit", Severity: api.SeverityWarning, Pointer: "/max_connections",
		Message: fmt.Sprintf("The machine grants HAProxy %d open files: enough for about %d connections, of which clients hold %d now; max_connections is %d, which may take %d files. Lower max_connections to %d, or raise the machine's limit of open files.",
			info.FileLimit, fits, info.Connections, spec.MaxConnections, info.FilesNeeded, fits),
	}}
}

// byAgent reports whether the last word on a server's state is its agent check's.
func byAgent(stat haproxy.Stat) bool { return strings.HasSuffix(stat.Status, "(agent)") }

// drainedByItself says how a server drains that was not asked to, "" if it does not.
func drainedByItself(stat haproxy.Stat) string {
	switch {
	case strings.HasPrefix(stat.Status, "NOLB"):
		return "it answers its health check with 404, which drains it"
	case strings.HasPrefix(stat.Status, "DRAIN") && byAgent(stat):
		return "its agent check says that it drains"
	}
	return ""
}

// checkResult says in words what HAProxy's code for the end of a health check
// means, with the code for who searches for it.
func checkResult(code string) string {
	words := map[string]string{
		"SOCKERR": "the machine could not open a socket",
		"L4OK":    "connected",
		"L4TOUT":  "no connection in time",
		"L4CON":   "no connection",
		"L6OK":    "TLS works",
		"L6TOUT":  "no TLS in time",
		"L6RSP":   "no valid TLS",
		"L7OK":    "a good answer",
		"L7OKC":   "a good answer",
		"L7TOUT":  "no answer in time",
		"L7RSP":   "no valid answer",
		"L7STS":   "an answer with the wrong status",
	}
	if said, ok := words[code]; ok {
		return said + ", " + code
	}
	return code
}

// whyDown says how the last health check of a server that is down ended. The
// first that succeed do not bring it back yet.
func whyDown(stat haproxy.Stat) string {
	if byAgent(stat) {
		return "does not work, says its agent check; it gets requests again when the agent check says otherwise"
	}
	result := checkResult(stat.Check)
	if stat.CheckInfo != "" {
		result += " (" + stat.CheckInfo + ")"
	}
	if strings.HasSuffix(stat.Check, "OK") {
		return "passes its health check again, but not often enough in a row yet to get requests: " + result
	}
	return "fails its health check: " + result
}

// mendServer says what to do about a server that is down.
func mendServer(stat haproxy.Stat) string {
	switch {
	case byAgent(stat):
		return "On the server, \"foobar-agent status\" says what is wrong with its app."
	case strings.HasSuffix(stat.Check, "OK"):
		return "That takes health_check.rise good answers in a row."
	}
	return "On the server, see whether the app runs (\"foobar-agent status\" and \"foobar-agent logs\", where an agent manages it), whether it answers what health_check asks for, and whether this machine reaches its port."
}
