package operation_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// upload brings an artifact to the machine and returns its checksum.
func (m *machine) upload(t *testing.T, content []byte) string {
	t.Helper()
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	_, err := m.blobs.Append(t.Context(), name, 0, int64(len(content)), bytes.NewReader(content))
	if err = errors.Join(err, m.blobs.Finish(t.Context(), name)); err != nil {
		t.Fatal(err)
	}
	return name
}

// blob is where an artifact is kept.
func (m *machine) blob(sum string) string { return filepath.Join(m.root, stateDir, "blobs", sum) }

func (m *machine) age(t *testing.T, path string) {
	t.Helper()
	longAgo := time.Now().Add(-2 * blob.Grace)
	if err := os.Chtimes(path, longAgo, longAgo); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// released returns a spec with a release.
func released(sum string) operationtest.Spec {
	s := spec(80, "one")
	s.SHA256 = sum
	return s
}

func TestASignatureDecidesBeforeAnythingIsTouched(t *testing.T) {
	m := start(t, t.TempDir())
	archive := artifacttest.Pack(artifacttest.File("name", "good"))
	sum := m.upload(t, archive)
	key, sign := artifacttest.NewKey()
	other, _ := artifacttest.NewKey()
	good := released(sum)
	good.Signature, good.Key = sign(archive, "release"), key
	for name, c := range map[string]struct {
		edit func(*operationtest.Spec)
		want string
	}{
		"another key":  {func(s *operationtest.Spec) { s.Key = other }, "was made with the key"},
		"another file": {func(s *operationtest.Spec) { s.Signature = sign([]byte("other"), "") }, "belongs to another file"},
	} {
		bad := good
		c.edit(&bad)
		wantProblem(t, m.do(t, request("edge", 0, bad)), api.ProblemInvalid, "/signature", c.want)
		if _, err := m.Plan(t.Context(), id("edge"), 0, api.Write{Spec: api.Encode(bad)}); !api.IsProblem(err, api.ProblemInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the plan says %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(m.root, "srv")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was made: %v", name, err)
		}
	}
	m.must(t, request("edge", 0, good))
	bad := good // of a release that stands, too
	bad.Key = other
	wantProblem(t, m.do(t, request("edge", 1, bad)), api.ProblemInvalid, "/signature")
	if c := m.get(t, "edge"); c.Generation != 1 || len(c.Drift) > 0 {
		t.Errorf("it is %+v", c)
	}
}

// What a signature signs of an artifact is kept with what was unpacked of it: without
// the artifact it is checked all the same, as long as the release stands.
func TestASignatureOfAReleaseThatStandsNeedsNoArtifact(t *testing.T) {
	archive := artifacttest.Pack(artifacttest.File("name", "good"))
	key, sign := artifacttest.NewKey()
	for name, c := range map[string]struct {
		signed []byte
		upset  func(tree, manifest string) error
		want   api.ProblemType
		at     string
	}{
		"it stands":           {archive, nil, "", ""},
		"of another artifact": {[]byte("other"), nil, api.ProblemInvalid, "/signature"},
		"the release was edited": {archive, func(tree, _ string) error {
			return os.WriteFile(filepath.Join(tree, "name"), []byte("bad!"), 0o644)
		}, api.ProblemBlobMissing, "/sha256"},
		"the list is lost": {archive, func(_, manifest string) error { return os.Remove(manifest) }, api.ProblemBlobMissing, "/sha256"},
		"the digest is lost": {archive, func(_, manifest string) error {
			var kept map[string]any
			text, err := os.ReadFile(manifest)
			if err = errors.Join(err, json.Unmarshal(text, &kept)); err != nil {
				return err
			}
			delete(kept, "digest")
			return os.WriteFile(manifest, api.Encode(kept), 0o600)
		}, api.ProblemBlobMissing, "/sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, t.TempDir())
			sum := m.upload(t, archive)
			m.must(t, request("edge", 0, released(sum)))
			if err := os.Remove(m.blob(sum)); err != nil {
				t.Fatal(err)
			}
			if c.upset != nil {
				if err := c.upset(filepath.Join(m.root, "srv/edge/releases", sum[:12]), m.blob(sum)+".manifest"); err != nil {
					t.Fatal(err)
				}
			}
			signed := released(sum)
			signed.Signature, signed.Key = sign(c.signed, "release"), key
			plan, err := m.Plan(t.Context(), id("edge"), 1, api.Write{Spec: api.Encode(signed)})
			if missing := c.want == api.ProblemBlobMissing; (err != nil) != (c.want == api.ProblemInvalid) || (len(plan.Missing) == 1) != missing {
				t.Errorf("the plan is %+v, %v", plan, err)
			}
			if c.want == "" {
				m.must(t, request("edge", 1, signed))
				return
			}
			wantProblem(t, m.do(t, request("edge", 1, signed)), c.want, c.at)
		})
	}
}

// Any of the last releases can be set back without an upload, weeks later, also
// if somebody has changed what stands of it.
func TestEarlierReleasesStay(t *testing.T) {
	m := start(t, t.TempDir())
	var sums []string
	for i := range converge.KeepTrees + 1 {
		sums = append(sums, m.upload(t, artifacttest.Pack(artifacttest.File("version", fmt.Sprint(i)))))
		m.must(t, request("edge", int64(i), released(sums[i])))
		for _, sum := range sums {
			m.age(t, m.blob(sum))
		}
	}
	last := int64(len(sums))
	m.must(t, request("edge", last, spec(81, "one"))) // which collects; all of them are earlier ones now
	for i, sum := range sums {
		_, err := os.Stat(m.blob(sum))
		if want := i > 0; (err == nil) != want {
			t.Errorf("the artifact of release %d is there: %v, want %v", i, err == nil, want)
		}
	}
	tree := filepath.Join(m.root, "srv/edge/releases", sums[1][:12])
	if err := os.WriteFile(filepath.Join(tree, "version"), []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.must(t, request("edge", last+1, released(sums[1])))
	if content, err := os.ReadFile(filepath.Join(tree, "version")); err != nil || string(content) != "1" {
		t.Errorf("the release that was set back holds %q, %v", content, err)
	}
}

// Where there is no room for an upload, artifacts of earlier releases go, and
// their trees stay: they can still be set back, also where they are signed.
func TestEarlierReleasesMakeRoom(t *testing.T) {
	m := start(t, t.TempDir())
	key, sign := artifacttest.NewKey()
	signed := func(version string) (operationtest.Spec, string) {
		archive := artifacttest.Pack(artifacttest.File("version", version))
		sum := m.upload(t, archive)
		s := released(sum)
		s.Signature, s.Key = sign(archive, "release "+version), key
		return s, sum
	}
	one, first := signed("1")
	two, second := signed("2")
	m.must(t, request("edge", 0, one))
	m.must(t, request("edge", 1, two))
	m.age(t, m.blob(first))
	m.age(t, m.blob(second))
	_, err := m.blobs.Append(t.Context(), strings.Repeat("b", 64), 0, blob.DefaultQuota+1, strings.NewReader("b"))
	wantProblem(t, api.Operation{Problem: api.AsProblem(err)}, api.ProblemQuota)
	if _, err := os.Stat(m.blob(first)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the artifact of the earlier release: %v", err)
	}
	if _, err := os.Stat(m.blob(second)); err != nil {
		t.Errorf("the artifact of the present release: %v", err)
	}
	m.must(t, request("edge", 2, one))
}
