package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func open(t *testing.T, quota int64) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "blobs"), quota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUploadInParts(t *testing.T) {
	s := open(t, 1000)
	content := []byte("hello, world")
	sum := sumOf(content)
	status := func() api.BlobStatus {
		status, err := s.Status(sum)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := status(); got != (api.BlobStatus{}) {
		t.Errorf("before the upload it is %+v", got)
	}
	if _, err := s.Open(sum); !api.IsProblem(err, api.ProblemBlobMissing) {
		t.Errorf("before the upload it opens with %v", err)
	}
	if err := s.Finish(t.Context(), sum); !api.IsProblem(err, api.ProblemBlobMissing) {
		t.Errorf("before the upload it finishes with %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(content[:5]), iotest.ErrReader(errors.New("cut off")))
	if got, err := s.Append(t.Context(), sum, 0, broken); err == nil || got.Offset != 5 {
		t.Errorf("a broken part ends with %+v, %v", got, err)
	}
	if _, err := s.Append(t.Context(), sum, 3, bytes.NewReader(content[3:])); !api.IsProblem(err, api.ProblemInvalid) || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("a part at the wrong offset ends with %v", err)
	}
	if got, err := s.Append(t.Context(), sum, 5, bytes.NewReader(content[5:])); err != nil || got.Offset != 12 || got.Complete {
		t.Errorf("the rest ends with %+v, %v", got, err)
	}
	for range 2 { // finishing can be asked for twice
		if err := s.Finish(t.Context(), sum); err != nil {
			t.Fatal(err)
		}
	}
	if got := status(); got != (api.BlobStatus{Complete: true, Offset: 12}) {
		t.Errorf("after the upload it is %+v", got)
	}
	if got, err := s.Append(t.Context(), sum, 0, bytes.NewReader(content)); err != nil || !got.Complete {
		t.Errorf("uploaded again it is %+v, %v", got, err)
	}
	f, err := s.Open(sum)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("it holds %q, %v", got, err)
	}
}

func TestADamagedUploadIsRefusedAndRemoved(t *testing.T) {
	s := open(t, 1000)
	sum := sumOf([]byte("right"))
	if _, err := s.Append(t.Context(), sum, 0, strings.NewReader("wrong")); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), sum); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("it finishes with %v", err)
	}
	if got, err := s.Status(sum); err != nil || got != (api.BlobStatus{}) {
		t.Errorf("then it is %+v, %v", got, err)
	}
}

func TestQuota(t *testing.T) {
	s := open(t, 10)
	if _, err := s.Append(t.Context(), strings.Repeat("a", 64), 0, strings.NewReader("0123456789")); err != nil {
		t.Errorf("all that is allowed: %v", err)
	}
	got, err := s.Append(t.Context(), strings.Repeat("b", 64), 0, strings.NewReader("x"))
	if !api.IsProblem(err, api.ProblemQuota) || got.Offset != 0 {
		t.Errorf("one byte more: %+v, %v", got, err)
	}
}

func TestOnlyChecksumsAreNames(t *testing.T) {
	s := open(t, 10)
	for _, sum := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("a", 63)} {
		_, status := s.Status(sum)
		_, appended := s.Append(t.Context(), sum, 0, strings.NewReader("x"))
		_, opened := s.Open(sum)
		_, manifest := s.Manifest(sum)
		for _, err := range []error{status, appended, opened, manifest, s.Finish(t.Context(), sum)} {
			if !api.IsProblem(err, api.ProblemInvalid) {
				t.Errorf("%q is taken: %v", sum, err)
			}
		}
	}
}

func TestCollectRemovesWhatNothingRefersTo(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	s, err := Open(dir, 1<<20, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, name := range []string{"wanted", "kept", "unused", "asked for"} {
		archive := zip(t, file("name", name))
		sums[name] = sumOf(archive)
		if _, err := s.Append(t.Context(), sums[name], 0, bytes.NewReader(archive)); err != nil {
			t.Fatal(err)
		}
		if err := s.Finish(t.Context(), sums[name]); err != nil {
			t.Fatal(err)
		}
		if err := s.Unpack(t.Context(), sums[name], filepath.Join(t.TempDir(), "tree"), Limits{Bytes: 100}); err != nil {
			t.Fatal(err)
		}
	}
	part := strings.Repeat("a", 64)
	if _, err := s.Append(t.Context(), part, 0, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	collect := func() {
		t.Helper()
		if err := s.Collect(map[string]bool{sums["wanted"]: true}, map[string]bool{sums["kept"]: true}); err != nil {
			t.Fatal(err)
		}
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return !errors.Is(err, fs.ErrNotExist)
	}
	collect()
	if !there(sums["unused"]) || !there(part+".part") {
		t.Error("what was just uploaded is gone")
	}
	now = now.Add(Grace + time.Minute)
	if _, err := s.Status(sums["asked for"]); err != nil {
		t.Fatal(err)
	}
	collect()
	for name, want := range map[string]bool{
		sums["wanted"]: true, sums["wanted"] + ".manifest": true, sums["kept"]: false, sums["kept"] + ".manifest": true,
		sums["unused"]: false, sums["unused"] + ".manifest": false, sums["asked for"]: true, part + ".part": false,
	} {
		if there(name) != want {
			t.Errorf("%s is there: %t, want %t", name, !want, want)
		}
	}
	if _, err := s.Manifest(sums["unused"]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a manifest that is gone is %v", err)
	}
}
