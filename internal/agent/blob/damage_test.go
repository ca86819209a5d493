package blob

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// put uploads an archive and returns its checksum.
func put(t *testing.T, s *Store, archive []byte) string {
	t.Helper()
	sum := sumOf(archive)
	status, err := s.Status(t.Context(), sum)
	if err == nil && !status.Complete {
		if _, err = s.Append(t.Context(), sum, status.Offset, int64(len(archive)), bytes.NewReader(archive)); err == nil {
			err = s.Finish(t.Context(), sum)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// A blob that is no longer what was uploaded counts as missing before anybody uses
// it, so that who has the archive uploads it again.
func TestADamagedBlobIsMissingAndUploadedAgain(t *testing.T) {
	archive := artifacttest.Pack(artifacttest.File("name", "good"))
	for name, damage := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, int64(len(archive))/2) },
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"another byte": func(path string) error {
			return os.WriteFile(path, append(archive[:len(archive)-1:len(archive)-1], 'x'), 0o600)
		},
		"another archive": func(path string) error {
			return os.WriteFile(path, artifacttest.Pack(artifacttest.File("name", "evil")), 0o600)
		},
		"something appended": func(path string) error { return os.WriteFile(path, append(bytes.Clone(archive), "x"...), 0o600) },
		"a directory":        func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, 1<<20)
			sum := put(t, s, archive)
			if err := damage(s.path(sum)); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Status(t.Context(), sum); err != nil || got != (api.BlobStatus{}) {
				t.Errorf("it shows %+v, %v", got, err)
			}
			if put(t, s, archive); !bytes.Equal(content(t, s, sum), archive) {
				t.Error("the upload did not replace it")
			}
			if got, err := s.Status(t.Context(), sum); err != nil || !got.Complete {
				t.Errorf("after the upload it shows %+v, %v", got, err)
			}
			if aside, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "damaged", "blobs", sum+".*")); err != nil || len(aside) != 1 {
				t.Errorf("set aside was %v, %v", aside, err)
			}
		})
	}
}

func content(t *testing.T, s *Store, sum string) []byte {
	t.Helper()
	found, err := os.ReadFile(s.path(sum))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What became damaged since it was last asked for is found when it is used, also
// where it can be unpacked.
func TestADamagedBlobIsNotUnpacked(t *testing.T) {
	archive := artifacttest.Pack(artifacttest.File("name", "good"))
	for name, other := range map[string][]byte{
		"another archive":    artifacttest.Pack(artifacttest.File("name", "evil")),
		"something appended": append(bytes.Clone(archive), "x"...),
		"no archive":         []byte("x"),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, 1<<20)
			sum := put(t, s, archive)
			if err := os.WriteFile(s.path(sum), other, 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "tree")
			if err := s.Unpack(t.Context(), sum, dir, Limits{Bytes: 100}); !api.IsProblem(err, api.ProblemBlobMissing) {
				t.Errorf("it is unpacked with %v", err)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("something of it stands: %v", err)
			}
			put(t, s, archive)
			if err := s.Unpack(t.Context(), sum, dir, Limits{Bytes: 100}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A blob is read once, and again only after its file has changed.
func TestABlobIsVerifiedOnce(t *testing.T) {
	s := open(t, 1<<20)
	sum := put(t, s, artifacttest.Pack(artifacttest.File("name", "good")))
	if err := os.Chmod(s.path(sum), 0); err != nil { // which root can read all the same
		t.Fatal(err)
	}
	if got, err := s.Status(t.Context(), sum); err != nil || got.Complete != (os.Geteuid() == 0) {
		t.Errorf("after a change of its mode it shows %+v, %v", got, err)
	}
	s.verified[sum] = verified{} // as after a start of the agent
	if err := os.Chmod(s.path(sum), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Status(t.Context(), sum); err != nil || !got.Complete {
			t.Errorf("it shows %+v, %v", got, err)
		}
	}
	if s.verified[sum].stamp == (stamp{}) {
		t.Error("nothing is known of what was read")
	}
}

// The digest is that of what is stored, which is read for it once. Once the blob was
// unpacked, its digest outlives it.
func TestDigest(t *testing.T) {
	s := open(t, 1<<20)
	archive, other := artifacttest.Pack(artifacttest.File("name", "good")), artifacttest.Pack(artifacttest.File("name", "other"))
	sum := put(t, s, archive)
	h := artifact.NewHash()
	h.Write(archive)
	want := artifact.Digest(h.Sum(nil))
	has := func(when string) {
		t.Helper()
		if got, err := s.Digest(t.Context(), sum); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %x, %v", when, got, err)
		}
	}
	lacks := func(when string) {
		t.Helper()
		if got, err := s.Digest(t.Context(), sum); !api.IsProblem(err, api.ProblemBlobMissing) {
			t.Errorf("%s: %x, %v", when, got, err)
		}
	}
	for range 2 {
		has("a blob")
		if status, err := s.Status(t.Context(), sum); err != nil || !status.Complete || s.verified[sum].digest == nil {
			t.Errorf("after a question it shows %+v, %v, and has to be read again", status, err)
		}
	}
	if err := os.WriteFile(s.path(sum), other, 0o600); err != nil {
		t.Fatal(err)
	}
	lacks("a damaged blob")
	if err := os.Remove(s.path(sum)); err != nil {
		t.Fatal(err)
	}
	lacks("a blob that is not here")
	put(t, s, archive)
	if err := s.Unpack(t.Context(), sum, filepath.Join(t.TempDir(), "tree"), Limits{Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path(sum)); err != nil {
		t.Fatal(err)
	}
	has("a blob that was unpacked")
	if err := os.WriteFile(s.path(sum)+manifestSuffix, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	lacks("a damaged list")
}
