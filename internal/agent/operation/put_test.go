package operation

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestAnApplyDisplacesNoAnswerOfAPlan: a plan may be made while the apply of
// another one is the first to ask.
func TestAnApplyDisplacesNoAnswerOfAPlan(t *testing.T) {
	kept := answers{dir: t.TempDir()}
	for _, given := range []answer{{Impact: api.ImpactNone}, {Impact: api.ImpactRestart, Planned: true}, {Impact: api.ImpactReload}} {
		if err := kept.put("edge", given); err != nil {
			t.Fatal(err)
		}
	}
	if got, known := kept.get("edge"); !known || got.Impact != api.ImpactRestart || !got.Planned {
		t.Errorf("kept is %+v", got)
	}
}
