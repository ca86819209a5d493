package appserver

import (
	"errors"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// signed returns an app server whose release is signed, with a comment.
func signed(comment string) api.AppServer {
	key, sign := artifacttest.NewKey()
	return edited(specs()["socket"], func(s *api.AppServer) {
		s.Release.Signature, s.Release.PublicKeys = sign([]byte("artifact"), comment), []string{key}
	})
}

func TestSignaturesAreJudgedAtTheirPlaces(t *testing.T) {
	good := signed("shop 1.4.0")
	for _, c := range []struct {
		edit func(*api.Release)
		at   []api.Pointer
	}{
		{func(*api.Release) {}, nil},
		{func(r *api.Release) { r.Signature = "shop.minisig" }, []api.Pointer{"/release/signature"}},
		{func(r *api.Release) { r.PublicKeys = append(r.PublicKeys[:1:1], "RW") }, []api.Pointer{"/release/public_keys/1"}},
		{func(r *api.Release) { r.Signature, r.PublicKeys = "x", []string{"RW"} }, []api.Pointer{"/release/signature", "/release/public_keys/0"}},
		{func(r *api.Release) { r.PublicKeys = nil }, []api.Pointer{"/release/public_keys"}},
	} {
		s := edited(good, func(s *api.AppServer) { c.edit(&s.Release) })
		_, err := New(Deps{}).Validate(api.Encode(s))
		var at []api.Pointer
		if problem, ok := errors.AsType[*api.Problem](err); ok {
			for _, v := range problem.Violations {
				at = append(at, v.Pointer)
			}
		}
		if !slices.Equal(at, c.at) {
			t.Errorf("%v, want it at %v", err, c.at)
		}
	}
}

func TestASignedReleaseIsToBeChecked(t *testing.T) {
	s := signed("shop 1.4.0")
	tree := render(t, "notes", s).State.Trees[0]
	want := converge.Signature{Text: s.Release.Signature, Keys: s.Release.PublicKeys, Source: "/release/signature"}
	if tree.Signature == nil || tree.Signature.Text != want.Text || !slices.Equal(tree.Signature.Keys, want.Keys) || tree.Signature.Source != want.Source {
		t.Errorf("it is to have %+v, want %+v", tree.Signature, want)
	}
	if tree := render(t, "notes", specs()["socket"]).State.Trees[0]; tree.Signature != nil {
		t.Errorf("one without is to have %+v", tree.Signature)
	}
}

// What a signature says reaches terminals.
func TestTheStatusShowsTheTrustedComment(t *testing.T) {
	v := render(t, "notes", signed("shop \x1b[31m1.4.0"))
	f := newFake(t, v)
	seen, err := f.kind().Observe(t.Context(), "notes", v)
	if err != nil {
		t.Fatal(err)
	}
	status, ok := seen.Status.(api.AppServerStatus)
	if !ok || status.TrustedComment != `shop \x1b[31m1.4.0` || len(status.SignedBy) != 16 {
		t.Errorf("the status is %+v", status)
	}
}
