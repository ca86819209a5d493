package api_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestGrantIsFlatOnTheWire(t *testing.T) {
	grant := api.EnrollGrant{Certification: api.Certification{Chain: []string{"a"}, CA: []string{"b"}}, Proof: []byte{1}}
	text := api.Encode(grant)
	if want := `{"chain":["a"],"ca":["b"],"proof":"AQ=="}`; string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var back api.EnrollGrant
	if err := api.Decode(text, &back); err != nil || !reflect.DeepEqual(back, grant) {
		t.Errorf("got %+v, %v", back, err)
	}
}

func FuzzDecodeEnrolment(f *testing.F) {
	f.Add([]byte(`{"nonce":"AAAA"}`))
	f.Add([]byte(`{"csr":"AAAA","nonce":"AAAA","proof":"AAAA"}`))
	f.Add([]byte(`{"chain":["x"],"ca":["y"],"proof":"AAAA"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, message := range []any{new(api.EnrollHello), new(api.EnrollOffer), new(api.EnrollGrant), new(api.Certification)} {
			if api.Decode(data, message) == nil && !json.Valid(data) {
				t.Errorf("%q was read as %T", data, message)
			}
		}
	})
}
