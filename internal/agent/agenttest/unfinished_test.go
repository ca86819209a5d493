package agenttest_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
)

// TestACreationThatIsNotUndoneIsAConditionOfItsMachine: there is no component that could
// show it.
func TestACreationThatIsNotUndoneIsAConditionOfItsMachine(t *testing.T) {
	var works atomic.Bool
	_, admin := enrolled(t, agenttest.Config{Step: func(step string) error {
		if !works.Load() && (step == "commit" || strings.HasPrefix(step, "undo: restore /etc/")) {
			return errors.New("a fault")
		}
		return nil
	}})
	shown := func() string {
		health, err := admin.Health(t.Context())
		must(t, err)
		var types []string
		for _, c := range health.Conditions {
			types = append(types, c.Type+": "+c.Message)
		}
		return strings.Join(types, "; ")
	}
	if _, err := admin.Apply(t.Context(), change(0, balancer(100)), nil); err == nil {
		t.Fatal("a fault is no error")
	}
	if got := shown(); !strings.HasPrefix(got, "ChangeUnfinished: The last change of load-balancer/") {
		t.Errorf("the machine shows %q", got)
	}
	works.Store(true)
	if _, err := admin.Apply(t.Context(), change(0, balancer(100)), nil); err != nil {
		t.Error(err)
	}
	if got := shown(); got != "" {
		t.Errorf("in the end the machine shows %q", got)
	}
}
