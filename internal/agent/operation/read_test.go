package operation

import (
	"maps"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestWhatSystemdStartsAgainIsNoDrift(t *testing.T) {
	const loops, loopsEdited, starts, runs = "a.service", "b.service", "c.service", "d.service"
	drift := map[string]api.Drift{
		loops:       {Detail: converge.Activating},
		loopsEdited: {Detail: converge.Activating + ", is changed by /etc/systemd/system/b.service.d/x.conf"},
		starts:      {Detail: converge.Activating},
	}
	leaveOut(drift, []string{loops, loopsEdited, runs})
	if left := slices.Sorted(maps.Keys(drift)); !slices.Equal(left, []string{loopsEdited, starts}) {
		t.Errorf("left are %q", left)
	}
}
