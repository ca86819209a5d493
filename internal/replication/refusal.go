package replication

import (
	"errors"
	"fmt"
)

// Reason is the class of a refusal: what a program may decide on.
type Reason string

// The reasons for which there is no plan.
const (
	// RefusedTopology: what is asked for makes no sense.
	RefusedTopology Reason = "topology"
	// RefusedChangeOfPrimary: another member is primary, and a change of roles is not offered.
	RefusedChangeOfPrimary Reason = "change-of-primary"
	// RefusedEpochConflict: two members are recorded as primary of one epoch.
	RefusedEpochConflict Reason = "epoch-conflict"
	// RefusedTwoWritable: several members accept writes and none of them is known to be right.
	RefusedTwoWritable Reason = "two-writable"
	// RefusedIdentity: two members have one server id.
	RefusedIdentity Reason = "identity"
	// RefusedUnobservable: a machine that has a part in the plan does not answer.
	RefusedUnobservable Reason = "unobservable"
	// RefusedUnconfigured: a machine that has a part in the plan answers, and has no
	// configuration of the replication; see [Unobservable].
	RefusedUnconfigured Reason = "unconfigured"
	// RefusedNoMajority: too few voters answer to record an epoch.
	RefusedNoMajority Reason = "no-majority"
	// RefusedPrimaryLost: the primary has no data while others may have.
	RefusedPrimaryLost Reason = "primary-lost"
	// RefusedConsent: data would go that are not proven to be elsewhere.
	RefusedConsent Reason = "consent"
	// RefusedVersion: a member cannot copy or follow the primary's version.
	RefusedVersion Reason = "version"
)

// Refusal says why there is no plan, and the way out. It is an error.
type Refusal struct {
	Reason Reason `json:"reason"`
	// Nodes are the machines that it is about.
	Nodes  []NodeID `json:"nodes,omitempty"`
	Detail string   `json:"detail"`
	// Next is the next command or attribute.
	Next string `json:"next"`
}

// Error returns what was found and what to do.
func (r *Refusal) Error() string { return r.Detail + "; " + r.Next }

// IsRefused reports whether err's chain holds a refusal for that reason.
func IsRefused(err error, reason Reason) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return ok && refusal.Reason == reason
}

func refuse(reason Reason, nodes []NodeID, next, format string, args ...any) error {
	return &Refusal{Reason: reason, Nodes: nodes, Next: next, Detail: fmt.Sprintf(format, args...)}
}
