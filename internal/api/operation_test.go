package api

import (
	"encoding/json"
	"testing"
	"time"
)

// TestOperationIDIsFrozen pins the ids: provider and agent compute them apart,
// and may be of different releases.
func TestOperationIDIsFrozen(t *testing.T) {
	www := ID{KindLoadBalancer, "www"}
	if got := OperationID(VerbApply, www, 3, json.RawMessage(`{"engine":"haproxy"}`), ""); got != "4d054c307e625a4e8c41332c9fc9fd13" {
		t.Errorf("apply: %s", got)
	}
	if got := OperationID(VerbDelete, www, 3, nil, ""); got != "52dee0fbff5e77b9b2bbaf01fe743f11" {
		t.Errorf("delete: %s", got)
	}
}

func TestOperationIDDependsOnEverything(t *testing.T) {
	spec := json.RawMessage(`{"a":1}`)
	base := OperationID(VerbApply, ID{KindLoadBalancer, "www"}, 1, spec, "")
	for name, other := range map[string]string{
		"verb":       OperationID(VerbDelete, ID{KindLoadBalancer, "www"}, 1, spec, ""),
		"kind":       OperationID(VerbApply, ID{KindAppServer, "www"}, 1, spec, ""),
		"name":       OperationID(VerbApply, ID{KindLoadBalancer, "ww"}, 1, spec, ""),
		"generation": OperationID(VerbApply, ID{KindLoadBalancer, "www"}, 2, spec, ""),
		"owner":      OperationID(VerbApply, ID{KindLoadBalancer, "www"}, 1, spec, "a"),
		"spec":       OperationID(VerbApply, ID{KindLoadBalancer, "www"}, 1, json.RawMessage(`{"a":2}`), ""),
		"boundaries": OperationID(VerbApply, ID{KindLoadBalancer, "www1"}, 1, json.RawMessage(`:{"a":1}`), ""),
	} {
		if other == base {
			t.Errorf("another %s has the same id", name)
		}
	}
	if again := OperationID(VerbApply, ID{KindLoadBalancer, "www"}, 1, json.RawMessage(`{"a":1}`), ""); again != base {
		t.Error("the same change has another id")
	}
}

func TestStatesThatAreFinal(t *testing.T) {
	for state, want := range map[OperationState]bool{
		OperationQueued: false, OperationRunning: false, OperationApplied: true, OperationFailed: true, "": false,
	} {
		if state.Done() != want {
			t.Errorf("%q done: %t, want %t", state, !want, want)
		}
	}
}

func TestOperationLeavesOutWhatIsNot(t *testing.T) {
	op := Operation{ID: "1", Verb: VerbApply, Component: ID{KindLoadBalancer, "www"}, State: OperationRunning, Created: time.Unix(0, 0).UTC()}
	want := `{"id":"1","verb":"apply","component":{"kind":"load-balancer","name":"www"},"state":"running",` +
		`"base_generation":0,"generation":0,"runs":0,"actor":"","created":"1970-01-01T00:00:00Z"}`
	if got := string(Encode(op)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
