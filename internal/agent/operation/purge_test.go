package operation_test

import (
	"context"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// messy leaves an account until it is purged.
type messy struct {
	kind
	user *string
}

func (m messy) Left() ([]string, error) { return []string{"edge"}, nil }

func (m messy) Leftovers(context.Context, string) (api.Leftovers, error) {
	return api.Leftovers{User: *m.user}, nil
}

func (m messy) Purge(context.Context, string) error {
	*m.user = ""
	return nil
}

func TestOnlyWhatIsGoneIsPurgedAndWithConsent(t *testing.T) {
	m := start(t, t.TempDir())
	if _, err := m.Leftovers(t.Context(), id("edge")); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("of a kind that leaves nothing: %v", err)
	}
	left := "somebody"
	m.again(t, messy{m.kind, &left})
	m.must(t, request("edge", 0, spec(80, "one")))
	if _, err := m.Leftovers(t.Context(), id("edge")); !api.IsProblem(err, api.ProblemExists) {
		t.Errorf("of a component that stands: %v", err)
	}
	if _, err := m.Purge(t.Context(), id("edge"), "edge"); !api.IsProblem(err, api.ProblemExists) || left == "" {
		t.Errorf("the purge of a component that stands: %v", err)
	}
	if got, err := m.AllLeftovers(t.Context()); err != nil || len(got.Components) > 0 {
		t.Errorf("of components that stand, left are %+v, %v", got, err)
	}
	m.remove(t, deletion("edge", 1))
	if got, err := m.Leftovers(t.Context(), id("edge")); err != nil || got.User != left {
		t.Errorf("left are %+v, %v", got, err)
	}
	if got, err := m.AllLeftovers(t.Context()); err != nil || len(got.Components) != 1 || got.Components[0].ID != id("edge") || got.Components[0].User != left {
		t.Errorf("all that is left is %+v, %v", got, err)
	}
	for _, consent := range []string{"", "Edge", "yes"} {
		if _, err := m.Purge(t.Context(), id("edge"), consent); !api.IsProblem(err, api.ProblemInvalid) || left == "" {
			t.Errorf("with the consent %q: %v", consent, err)
		}
	}

	// A creation that is at work or waits counts as a component.
	inside, leave := make(chan struct{}), make(chan struct{})
	gate := m.kind.Gate
	m.kind.Gate = func(context.Context, converge.Change) error {
		close(inside)
		<-leave
		return nil
	}
	op, err := m.Apply(t.Context(), request("edge", 0, spec(80, "two")))
	if err != nil {
		t.Fatal(err)
	}
	<-inside
	if _, err := m.Purge(t.Context(), id("edge"), "edge"); !api.IsProblem(err, api.ProblemExists) || left == "" {
		t.Errorf("beside a creation: %v", err)
	}
	close(leave)
	m.kind.Gate = gate
	m.await(t, op.ID)
	m.remove(t, deletion("edge", 1))
	got, err := m.Purge(t.Context(), id("edge"), "edge")
	for api.IsProblem(err, api.ProblemExists) && t.Context().Err() == nil { // the end of an operation is reported before its turn ends
		time.Sleep(time.Millisecond)
		got, err = m.Purge(t.Context(), id("edge"), "edge")
	}
	if err != nil || got.User != "somebody" || left != "" {
		t.Errorf("purged is %+v, left %q, %v", got, left, err)
	}
}

var _ operation.Purger = messy{}
