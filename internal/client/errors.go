package client

import (
	"fmt"
	"strings"
	"time"
)

// Unreachable means that nobody answered, or that the connection was lost
// before the answer was there. It says nothing of what the machine did.
type Unreachable struct {
	Machine string
	Address string
	// Sent tells that the request may have arrived: only its answer is missing.
	Sent bool
	// Err is what the network said.
	Err error
}

// Error names machine, address and cause.
func (e *Unreachable) Error() string {
	return fmt.Sprintf("machine %s does not answer at %s: %v", e.Machine, e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// NotEnrolled means that a machine answered which claims the right name, and
// was not enrolled yet.
type NotEnrolled struct {
	Machine string
	Address string
}

// Error says what to do.
func (e *NotEnrolled) Error() string {
	return fmt.Sprintf("machine %s at %s is not enrolled yet: an apply of its foobar_machine enrols it", e.Machine, e.Address)
}

// WrongMachine means that whoever answered is not the machine meant.
type WrongMachine struct {
	// Machine is the name of the machine that was meant.
	Machine string
	Address string
	// Detail says who answered, and what to do.
	Detail string
}

// Error says who answered.
func (e *WrongMachine) Error() string {
	return fmt.Sprintf("another machine than %s answers at %s: %s", e.Machine, e.Address, e.Detail)
}

// WrongCA means that machine and caller trust different CAs.
type WrongCA struct {
	Machine string
	Address string
	// Detail says which side refused what.
	Detail string
}

// Error says which side refused what, and what to do.
func (e *WrongCA) Error() string {
	return fmt.Sprintf("machine %s at %s and this run trust different CAs: %s; check ca_seed and deployment, and the machine's user_data", e.Machine, e.Address, e.Detail)
}

// ClockMismatch means that a certificate is not valid at one side's time.
type ClockMismatch struct {
	Machine string
	Address string
	// OfMachine tells whether the certificate is the machine's or that of this
	// run; NotBefore and NotAfter are its limits.
	OfMachine           bool
	NotBefore, NotAfter time.Time
	// Ours is the clock here, Theirs the machine's; zero if it is not known.
	Ours, Theirs time.Time
}

// Ended reports whether it is the machine's certificate and has simply ended,
// as far as the clock here tells.
func (e *ClockMismatch) Ended() bool { return e.OfMachine && e.Ours.After(e.NotAfter) }

// Error names both clocks, as far as they are known, and says what to do.
func (e *ClockMismatch) Error() string {
	if e.Ended() {
		return fmt.Sprintf("the certificate of machine %s at %s ended at %s, and the clock here shows %s: if that is right, an apply that knows the machine's key renews it",
			e.Machine, e.Address, clock(e.NotAfter), clock(e.Ours))
	}
	which := "the client certificate of this run"
	if e.OfMachine {
		which = "the machine's certificate"
	}
	theirs := "is not known"
	if !e.Theirs.IsZero() {
		theirs = "shows " + clock(e.Theirs)
	}
	return fmt.Sprintf("%s is valid from %s to %s, which does not fit: the clock here shows %s, that of machine %s at %s %s; set the wrong one",
		which, clock(e.NotBefore), clock(e.NotAfter), clock(e.Ours), e.Machine, e.Address, theirs)
}

// ProofFailed means that a machine which is not enrolled could not prove that
// it got the bootstrap. The reason is not known, and must not be guessed.
type ProofFailed struct {
	Machine     string
	Address     string
	Incarnation int64
}

// Error says what can be the case.
func (e *ProofFailed) Error() string {
	return fmt.Sprintf("the machine at %s could not prove to be machine %s, incarnation %d: it has another bootstrap, such as that of another incarnation, or somebody intercepts the connection; nothing was sent to it. "+
		"Compare the VM's user_data with its foobar_bootstrap: both have to be of incarnation %[3]d. A VM of a new deployment begins with incarnation 1", e.Address, e.Machine, e.Incarnation)
}

// TooOld means that the agent lacks what a call or a spec needs.
type TooOld struct {
	Machine string
	// Version is the agent's.
	Version string
	// Missing names the features or API versions that it lacks.
	Missing []string
}

// Error says what is missing.
func (e *TooOld) Error() string {
	return fmt.Sprintf("the agent of machine %s has version %s, which lacks: %s; rebuild the machine from a newer image", e.Machine, e.Version, strings.Join(e.Missing, ", "))
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
