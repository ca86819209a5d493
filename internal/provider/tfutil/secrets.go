package tfutil

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// SecretSet is what is sent under one version: an agent that has the version
// does not look at the values.
type SecretSet struct {
	Version int64
	// Values are the secrets by their places in the spec.
	Values map[api.Pointer]api.Secret
}

// SecretSets are sets of secrets by the places of their versions in the spec.
type SecretSets map[api.Pointer]SecretSet

// Fingerprints are what a resource keeps of the secrets that were applied, so
// that a plan can warn of one that changed while its version did not. They are
// in the private state, which anybody who has the state can read, and are of no
// use to them: each is an HMAC under a key that follows from the CA seed. Who
// has no seed can neither guess a secret from them, at whatever leisure, nor see
// that two secrets are the same, since each resource has a salt and each place
// is part of the text. The zero value is none.
//
// The agent is not asked: whoever may plan could then have it compare guesses.
type Fingerprints struct {
	// Key names the key, so that another seed makes no false difference.
	Key  string                             `json:"key,omitempty"`
	Salt string                             `json:"salt,omitempty"`
	Sets map[api.Pointer]fingerprintsOfASet `json:"sets,omitempty"`
}

type fingerprintsOfASet struct {
	Version int64                  `json:"version"`
	Values  map[api.Pointer]string `json:"values"`
}

// SecretText says in the docs what follows from [Fingerprints].
func SecretText() string {
	return "A plan of a provider that has the `ca_seed` warns of a value that differs from the applied one under the same version; " +
		"the state keeps a keyed fingerprint for that, which tells nothing without the seed."
}

// secretsKey is where the fingerprints are in the private state.
const secretsKey = "secrets"

// ReadFingerprints returns what a resource has kept.
func ReadFingerprints(ctx context.Context, from PrivateReader) Fingerprints {
	return get[Fingerprints](ctx, from, secretsKey)
}

// KeepFingerprints stores what is to be known of secrets after a write. Of a
// set whose version the machine had already, the old ones stay: they are of the
// values that it uses. A rebuilt machine had none. Without a seed nothing new
// can be kept.
func (c Credentials) KeepFingerprints(ctx context.Context, to PrivateWriter, before Fingerprints, secrets SecretSets, rebuilt bool) diag.Diagnostics {
	kept := Fingerprints{Key: before.Key, Salt: before.Salt, Sets: map[api.Pointer]fingerprintsOfASet{}}
	key := c.fingerprintKey()
	sameKey := key != nil && before.Key == keyName(key)
	if key != nil && !sameKey {
		salt := make([]byte, sha256.Size)
		_, _ = rand.Read(salt) // never fails
		kept.Key, kept.Salt = keyName(key), hex.EncodeToString(salt)
	}
	for at, set := range secrets {
		old, known := before.Sets[at]
		switch {
		case known && old.Version == set.Version && !rebuilt && (sameKey || key == nil):
			kept.Sets[at] = old
		case known && old.Version == set.Version && !rebuilt:
			// Whether these are the values that the machine uses, nobody knows.
		case key != nil:
			kept.Sets[at] = kept.of(key, set)
		}
	}
	return set(ctx, to, secretsKey, kept)
}

// Changed warns of each secret that differs from the one that was applied
// under the same version.
func (c Credentials) Changed(before Fingerprints, secrets SecretSets, paths Paths, diags *diag.Diagnostics) {
	key := c.fingerprintKey()
	if key == nil || before.Key != keyName(key) {
		return
	}
	for _, at := range slices.Sorted(maps.Keys(secrets)) {
		set := secrets[at]
		old, known := before.Sets[at]
		if !known || old.Version != set.Version {
			continue
		}
		now, version := before.of(key, set), paths.Path(at)
		for _, place := range slices.Sorted(maps.Keys(now.Values)) {
			if was, given := old.Values[place]; !given || !hmac.Equal([]byte(was), []byte(now.Values[place])) {
				Warning(diags, paths.Path(place), "Secret changed, version unchanged",
					"The value is not the one that was applied as version %d, and this apply does not use it. Raise %s to apply it.", set.Version, version)
			}
		}
		for _, place := range slices.Sorted(maps.Keys(old.Values)) {
			if _, still := now.Values[place]; !still {
				Warning(diags, version, "Secret removed, version unchanged",
					"Version %d was applied with %s, and this apply does not remove it. Raise %s to remove it.", set.Version, paths.Path(place), version)
			}
		}
	}
}

// of returns the fingerprints of a set.
func (f Fingerprints) of(key []byte, set SecretSet) fingerprintsOfASet {
	all := fingerprintsOfASet{Version: set.Version, Values: make(map[api.Pointer]string, len(set.Values))}
	for place, secret := range set.Values {
		mac := hmac.New(sha256.New, key)
		for _, field := range []string{f.Salt, string(place), strconv.FormatInt(set.Version, 10), secret.Reveal()} {
			fmt.Fprintf(mac, "%d:%s", len(field), field) // no two lists of fields have one text
		}
		all.Values[place] = hex.EncodeToString(mac.Sum(nil))
	}
	return all
}

func (c Credentials) fingerprintKey() []byte {
	if c.Seed == nil || c.Deployment == "" {
		return nil
	}
	return c.Seed.FingerprintKey(c.Deployment)
}

func keyName(key []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprint(mac, "name")
	return hex.EncodeToString(mac.Sum(nil)[:8])
}
