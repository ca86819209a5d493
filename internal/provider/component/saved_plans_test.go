package component_test

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// A saved plan was read and approved: its apply warns of nothing that the plan
// has not shown, whichever half of a replacement comes first.
func TestApplyOfASavedPlanWarnsOfNothingNew(t *testing.T) {
	for name, more := range map[string]string{
		"create before destroy": "lifecycle {\n  create_before_destroy = true\n}",
		"destroy before create": "",
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1")
			s := newState(t, machines, balancer("www", "www", "80", more))
			s.does(apply)
			s.silent(s.does("plan -out=saved -replace=foobar_load_balancer.www", "will be replaced, as requested"), "Warning")
			s.silent(s.does("apply saved", "1 added, 0 changed, 1 destroyed"), "Warning")
			s.silent(s.does("plan", nothing), "Warning")
		})
	}
}
