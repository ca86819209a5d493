package replication

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Majority returns how many of n voters must agree: more than half.
//
// Two sets of more than half of the same voters share at least one voter:
// m + m > n. An epoch is recorded on one such set before its primary opens, and
// an old primary opens only after it has asked another one. So the one who asks
// meets somebody who knows of the newer epoch, whichever machines are away, as
// long as no voter forgets: an empty record is no vote (see [MayOpen]).
//
// Of one voter it is one, of two both, of three two: the second of two voters
// makes nothing safer against a loss, a witness does.
func Majority(n int) int { return n/2 + 1 }

// Record is what every voter has recorded durably of a replication. Epochs only
// rise; a replication that was destroyed leaves its epoch with no primary.
type Record struct {
	Epoch uint64 `json:"epoch,omitempty"`
	// Primary is who may take writes in this epoch, "" if nobody.
	Primary NodeID `json:"primary,omitempty"`
	// Spec is the [Topology.Hash] of the topology that goes with it, and
	// Members are its members.
	Spec    string   `json:"spec,omitempty"`
	Members []NodeID `json:"members,omitempty"`
}

// Equal reports whether both records say the same.
func (r Record) Equal(other Record) bool {
	return r.Epoch == other.Epoch && r.Primary == other.Primary && r.Spec == other.Spec && slices.Equal(r.Members, other.Members)
}

// Accept says why a voter that has recorded r must not record proposal; nil if
// it may. Within an epoch the primary never changes to another one, so of two
// who raise to the same epoch one at most finds a majority.
func (r Record) Accept(proposal Record) error {
	switch {
	case proposal.Epoch < r.Epoch:
		return fmt.Errorf("epoch %d is over: epoch %d is recorded here, with primary %q; take a new look and plan again", proposal.Epoch, r.Epoch, r.Primary)
	case proposal.Epoch == 0:
		return fmt.Errorf("a record needs an epoch from 1")
	case proposal.Epoch == r.Epoch && proposal.Primary != "" && proposal.Primary != r.Primary:
		return fmt.Errorf("epoch %d has primary %q here already, it cannot have %q; take a new look and plan again", r.Epoch, r.Primary, proposal.Primary)
	}
	return nil
}

// BallotLife is for how long the answers to a ballot count, from the moment
// before the first was asked for, on the monotonic clock. It is short, because
// a voter that has answered may record a higher epoch in the next moment: who
// raises an epoch without the old primary waits for this long, and a margin,
// before the new one opens.
const BallotLife = 2 * time.Second

// Answer is what a voter answered one who wants to open. Reason says why there was none.
type Answer struct {
	Record Record `json:"record,omitzero"`
	Reason string `json:"reason,omitempty"`
}

// Verdict tells whether a member may open, and why, in sentences for
// "foobar-agent status".
type Verdict struct {
	Open    bool     `json:"open"`
	Reasons []string `json:"reasons"`
}

// String returns the verdict in one line.
func (v Verdict) String() string {
	state := "stays fenced"
	if v.Open {
		state = "may open"
	}
	return state + ": " + strings.Join(v.Reasons, "; ")
}

// MayOpen is the boot rule: a member opens when its own record names it the
// primary, and a majority of the voters, itself among them, knows of no higher
// epoch. Answers are those of the other voters; age is how long ago the
// first was asked for.
//
// A voter that has recorded nothing is no support: it may be a rebuilt machine
// that has forgotten a higher epoch. The next apply records it again.
func MayOpen(self NodeID, own Record, voters []NodeID, answers map[NodeID]Answer, age time.Duration) Verdict {
	switch {
	case own.Epoch == 0:
		return Verdict{Reasons: []string{"no replication has claimed this database; add it to a foobar_db_replication and apply"}}
	case own.Primary == "":
		return Verdict{Reasons: []string{"its replication was destroyed; a database without one stays read-only"}}
	case own.Primary != self:
		return Verdict{Reasons: []string{fmt.Sprintf("it is a replica: %s is primary of epoch %d", own.Primary, own.Epoch)}}
	case age > BallotLife:
		return Verdict{Reasons: []string{fmt.Sprintf("the answers are %s old and count for %s; asking again", age.Round(time.Millisecond), BallotLife)}}
	}
	support := 0
	var against, silent []string
	for _, voter := range voters {
		answer, asked := answers[voter]
		switch {
		case voter == self:
			support++
		case !asked:
			silent = append(silent, fmt.Sprintf("%s was not asked", voter))
		case answer.Reason != "":
			silent = append(silent, fmt.Sprintf("%s does not answer: %s", voter, answer.Reason))
		default:
			supports, why := decide(self, own, voter, answer.Record)
			if supports {
				support++
			} else if answer.Record.Epoch >= own.Epoch {
				against = append(against, why)
			} else {
				silent = append(silent, why)
			}
		}
	}
	need := Majority(len(voters))
	count := fmt.Sprintf("%d of %d voters support it as primary of epoch %d, %d are needed", support, len(voters), own.Epoch, need)
	if len(against) > 0 || support < need {
		return Verdict{Reasons: append(append(against, count), silent...)}
	}
	return Verdict{Open: true, Reasons: []string{count}}
}

// decide tells whether a voter's record supports self as the primary that its
// own record makes it, and if not, why.
func decide(self NodeID, own Record, voter NodeID, record Record) (supports bool, why string) {
	switch {
	case record.Epoch > own.Epoch && record.Primary == "":
		return false, fmt.Sprintf("%s has recorded the end of the replication in epoch %d", voter, record.Epoch)
	case record.Epoch > own.Epoch:
		return false, fmt.Sprintf("%s has recorded epoch %d with primary %s; this member rejoins as its replica with the next apply", voter, record.Epoch, record.Primary)
	case record.Epoch == own.Epoch && record.Primary == "":
		return false, fmt.Sprintf("%s has recorded the end of the replication", voter)
	case record.Epoch == own.Epoch && record.Primary != self:
		return false, fmt.Sprintf("%s has recorded %s as primary of the same epoch %d: that must not be, ask for help before opening either", voter, record.Primary, record.Epoch)
	case record.Epoch == 0:
		return false, fmt.Sprintf("%s has recorded nothing and may have forgotten (rebuilt?): terraform apply records it again", voter)
	}
	return true, ""
}
