package systemd

import "testing"

// TestOnlyWhatIsGoneIsMissing: a unit whose file is gone, or cannot be read, may still run.
func TestOnlyWhatIsGoneIsMissing(t *testing.T) {
	for _, c := range []struct {
		Status
		want bool
	}{
		{Status{LoadState: "not-found", ActiveState: "inactive"}, true},
		{Status{LoadState: "not-found", ActiveState: "failed"}, true},
		{Status{LoadState: "not-found", ActiveState: "active"}, false},
		{Status{LoadState: "not-found", ActiveState: "deactivating"}, false},
		{Status{LoadState: "not-found", ActiveState: "activating", SubState: "auto-restart"}, false},
		{Status{LoadState: "bad-setting", ActiveState: "inactive"}, false},
		{Status{LoadState: "bad-setting", ActiveState: "active"}, false},
		{Status{LoadState: "masked", ActiveState: "inactive"}, false},
		{Status{LoadState: "loaded", ActiveState: "inactive"}, false},
	} {
		if got := c.Missing(); got != c.want {
			t.Errorf("%s and %s is missing: %t", c.LoadState, c.ActiveState, got)
		}
	}
}
