package tfutil

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// privateState is a private state in memory.
type privateState map[string][]byte

func (p privateState) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) {
	return p[key], nil
}

func (p privateState) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	p[key] = value
	return nil
}

func credentials(t *testing.T, seed string) Credentials {
	t.Helper()
	parsed, err := pki.ParseSeed(strings.Repeat(seed, 32))
	if err != nil {
		t.Fatal(err)
	}
	return Credentials{Deployment: "shop", Seed: &parsed}
}

func secretSets(version int64, value api.Secret) SecretSets {
	return SecretSets{"/version": {Version: version, Values: map[api.Pointer]api.Secret{"/a": value, "/b": value}}}
}

func TestFingerprintsTellNobodyAnything(t *testing.T) {
	c, kept := credentials(t, "01"), []string{}
	for range 2 {
		state := privateState{}
		c.KeepFingerprints(t.Context(), state, Fingerprints{}, secretSets(1, "hunter2"), true)
		f := ReadFingerprints(t.Context(), state)
		kept = append(kept, f.Sets["/version"].Values["/a"], f.Sets["/version"].Values["/b"])
		if text, _ := json.Marshal(f); strings.Contains(string(text), "hunter2") {
			t.Errorf("the state holds the secret: %s", text)
		}
	}
	for i, one := range kept {
		for _, other := range kept[:i] {
			if one == other || one == "" {
				t.Errorf("equal secrets have equal fingerprints: %q", kept)
			}
		}
	}
}

func TestFingerprintsAreComparedUnderOneSeedAndVersion(t *testing.T) {
	c, none := credentials(t, "01"), Credentials{Deployment: "shop"}
	paths := Paths{Type: schema.Schema{Attributes: map[string]schema.Attribute{
		"a": schema.StringAttribute{}, "b": schema.StringAttribute{}, "version": schema.Int64Attribute{},
	}}.Type()}
	for name, test := range map[string]struct {
		wrote, plans Credentials
		rewritten    func(state privateState) // what is applied after the first
		version      int64
		value        api.Secret
		want         int
	}{
		"the same":           {wrote: c, plans: c, version: 1, value: "hunter2"},
		"another":            {wrote: c, plans: c, version: 1, value: "hunter3", want: 2},
		"a new version":      {wrote: c, plans: c, version: 2, value: "hunter3"},
		"planned unseeded":   {wrote: c, plans: none, version: 1, value: "hunter3"},
		"written unseeded":   {wrote: none, plans: c, version: 1, value: "hunter3"},
		"another seed":       {wrote: credentials(t, "02"), plans: c, version: 1, value: "hunter3"},
		"applied, not used":  {wrote: c, plans: c, rewritten: again(t, c, 1, "hunter3", false), version: 1, value: "hunter3", want: 2},
		"applied, used":      {wrote: c, plans: c, rewritten: again(t, c, 2, "hunter3", false), version: 2, value: "hunter3"},
		"on a rebuilt VM":    {wrote: c, plans: c, rewritten: again(t, c, 1, "hunter3", true), version: 1, value: "hunter3"},
		"kept by a reader":   {wrote: c, plans: c, rewritten: again(t, none, 1, "hunter2", false), version: 1, value: "hunter3", want: 2},
		"lost by no seed":    {wrote: c, plans: c, rewritten: again(t, none, 2, "hunter3", false), version: 2, value: "hunter4"},
		"not known any more": {wrote: c, plans: credentials(t, "02"), rewritten: again(t, credentials(t, "02"), 1, "hunter3", false), version: 1, value: "hunter4"},
	} {
		t.Run(name, func(t *testing.T) {
			state := privateState{}
			test.wrote.KeepFingerprints(t.Context(), state, Fingerprints{}, secretSets(1, "hunter2"), true)
			if test.rewritten != nil {
				test.rewritten(state)
			}
			var diags diag.Diagnostics
			test.plans.Changed(ReadFingerprints(t.Context(), state), secretSets(test.version, test.value), paths, &diags)
			if len(diags) != test.want || diags.HasError() {
				t.Errorf("there are %d diagnostics, want %d warnings: %v", len(diags), test.want, diags)
			}
		})
	}
}

func again(t *testing.T, c Credentials, version int64, value api.Secret, rebuilt bool) func(privateState) {
	t.Helper()
	return func(state privateState) {
		c.KeepFingerprints(t.Context(), state, ReadFingerprints(t.Context(), state), secretSets(version, value), rebuilt)
	}
}
