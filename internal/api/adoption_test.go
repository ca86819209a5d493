package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestBelongs names whoever may be the owner, and of nobody's component who applied it.
func TestBelongs(t *testing.T) {
	when := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	applied := api.Ownership{Actor: "ci", Time: when}
	for want, adoption := range map[string]api.Adoption{
		"belongs to no Terraform state, and was last applied by ci at 2026-03-01 12:00:00 UTC":  {Applied: applied},
		"interrupted run of this one: it was taken by somebody else at 2026-03-01 12:00:00 UTC": {Ownership: api.Ownership{Owner: "a", Actor: "somebody else", Time: when}, Applied: applied},
	} {
		if got := adoption.Belongs(); !strings.HasSuffix(got, want) {
			t.Errorf("it %s; want %s", got, want)
		}
	}
}
