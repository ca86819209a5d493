package tfutil

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// www is the component of these tests.
var www = api.ID{Kind: api.KindLoadBalancer, Name: "www"}

// TestWalkCreatesAndDestroysOneObjectOfAComponentAtATime begins a create and a
// destroy of one component together, each of them first.
func TestWalkCreatesAndDestroysOneObjectOfAComponentAtATime(t *testing.T) {
	t.Run("destroyed first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var w Walk
			stays, destroyed, err := w.Delete(t.Context(), "web1", www)
			if stays || err != nil {
				t.Fatalf("stays is %t, %v", stays, err)
			}
			creating := false
			go func() {
				created, err := w.Create(t.Context(), "web1", www)
				if err != nil {
					t.Error(err)
					return
				}
				creating = true
				created(true)
			}()
			if synctest.Wait(); creating {
				t.Error("it is created while another object is destroyed")
			}
			destroyed()
			if synctest.Wait(); !creating {
				t.Error("it is not created after another object was destroyed")
			}
		})
	})
	for _, made := range []bool{true, false} {
		t.Run("created first", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w Walk
				created, err := w.Create(t.Context(), "web1", www)
				if err != nil {
					t.Fatal(err)
				}
				asked := false
				go func() {
					stays, destroyed, err := w.Delete(t.Context(), "web1", www)
					if asked = true; err != nil || stays != made {
						t.Errorf("made is %t, stays is %t, %v", made, stays, err)
						return
					}
					destroyed()
				}()
				if synctest.Wait(); asked {
					t.Error("it is destroyed while another object is created")
				}
				created(made)
				if synctest.Wait(); !asked {
					t.Error("it is not destroyed after another object was created")
				}
			})
		})
	}
}

func TestWalkWaitsForAnotherObjectUntilTheContextEnds(t *testing.T) {
	var w Walk
	if _, err := w.Create(t.Context(), "web1", www); err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	if _, _, err := w.Delete(ctx, "web1", www); !errors.Is(err, stopped) {
		t.Errorf("the destroy ends with %v", err)
	}
	if _, err := w.Create(ctx, "web1", www); !errors.Is(err, stopped) {
		t.Errorf("the create ends with %v", err)
	}
	if _, err := w.Create(t.Context(), "web2", www); err != nil {
		t.Errorf("another machine's create ends with %v", err)
	}
}
