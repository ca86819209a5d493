package api

import (
	"fmt"
	"time"
)

// Drain is an operator's order that load balancers send an app server no new requests.
type Drain struct {
	// By and At tell who gave it and when; empty where that is not known, as of a file that
	// somebody has put there.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

// String says since when a drain lasts, and who ordered it.
func (d Drain) String() string {
	if d.By == "" || d.At.IsZero() {
		return "since when and by whom is not known"
	}
	return fmt.Sprintf("since %s, by %s", d.At.UTC().Format("2006-01-02 15:04:05 UTC"), Visible(d.By))
}

// Drained is what a drain and its end answer.
type Drained struct {
	// Before is the drain that was in force, nil for none. A second drain leaves it.
	Before *Drain `json:"before,omitempty"`
}
