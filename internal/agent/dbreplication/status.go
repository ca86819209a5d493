package dbreplication

import (
	"net"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// The words for what a member does.
const (
	stateOpen        = "open"
	stateFenced      = "fenced"
	stateFollowing   = "following"
	stateConnecting  = "connecting"
	stateStopped     = "stopped"
	stateSeeding     = "seeding"
	stateJoining     = "joining"
	stateUnreachable = "unreachable"
)

// statusOf tells what moves by itself, as far as it was seen.
func statusOf(s replication.Snapshot) api.DBReplicationStatus {
	holder, _ := s.Holder()
	status := api.DBReplicationStatus{
		CurrentPrimary: string(holder), Epoch: s.Epoch(), Writable: open(s.Nodes[holder]),
		Members: map[string]api.DBMemberStatus{}, Witnesses: map[string]api.DBWitnessStatus{},
	}
	if holder == "" {
		holder = s.Desired.Primary
	}
	for id := range s.Desired.Members {
		view, looked := s.Nodes[id]
		if !looked {
			view.Unobservable = &replication.Unobservable{Reason: "it was not looked at"}
		}
		status.Members[string(id)] = memberStatus(s.Desired, view, id == holder)
	}
	for _, id := range s.Desired.Witnesses {
		view, looked := s.Witnesses[id]
		if !looked {
			view.Unobservable = &replication.Unobservable{Reason: "it was not looked at"}
		}
		witness := api.DBWitnessStatus{Reachable: view.Unobservable == nil, Epoch: view.Record.Epoch}
		if !witness.Reachable {
			witness.Reason = view.Unobservable.Reason
		}
		status.Witnesses[string(id)] = witness
	}
	return status
}

func open(view replication.NodeView) bool { return view.Unobservable == nil && view.Writable }

func memberStatus(t replication.Topology, view replication.NodeView, primary bool) api.DBMemberStatus {
	m := api.DBMemberStatus{
		Reachable: view.Unobservable == nil, Role: api.DBRoleReplica, State: stateOf(view, primary),
		Epoch: view.Record.Epoch,
	}
	if primary {
		m.Role = api.DBRolePrimary
	}
	if !m.Reachable {
		m.Reason = view.Unobservable.Reason
		return m // of what is not observable nothing else counts
	}
	m.Version, m.Writable, m.Position = view.Version, view.Writable, view.Applied
	if len(view.Sources) > 0 {
		source := view.Sources[0]
		m.Source = sourceName(t, source)
		m.Receiver, m.ReceiverError = string(source.Receiver.State), errorOf(source.Receiver)
		m.Applier, m.ApplierError = string(source.Applier.State), errorOf(source.Applier)
	}
	if view.Lag != nil && !view.Lag.Skewed { // of a clock that is behind the lag is not known
		lag := time.Duration(view.Lag.Applied).Milliseconds()
		m.LagMilliseconds = &lag
	}
	return m
}

func stateOf(view replication.NodeView, primary bool) string {
	switch {
	case view.Seeding != nil:
		return stateSeeding
	case view.Unobservable != nil:
		return stateUnreachable
	case view.Writable:
		return stateOpen
	case primary:
		return stateFenced
	case len(view.Sources) == 0:
		return stateJoining
	}
	source := view.Sources[0]
	switch {
	case source.Receiver.State == replication.ThreadStopped || source.Applier.State == replication.ThreadStopped:
		return stateStopped
	case source.Receiver.State == replication.ThreadConnecting:
		return stateConnecting
	}
	return stateFollowing
}

// sourceName returns the machine that a member follows, or the address of one
// that is no member.
func sourceName(t replication.Topology, source replication.SourceView) string {
	for _, id := range t.MemberIDs() {
		if m := t.Members[id]; m.Host == source.Host && m.Port == source.Port {
			return string(id)
		}
	}
	return net.JoinHostPort(source.Host, strconv.Itoa(source.Port))
}

func errorOf(t replication.Thread) string {
	if t.Errno == 0 {
		return t.Error
	}
	return strconv.Itoa(t.Errno) + ": " + t.Error
}
