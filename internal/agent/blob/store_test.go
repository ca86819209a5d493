package blob

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
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
		status, err := s.Status(t.Context(), sum)
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
	if got, err := s.Append(t.Context(), sum, 0, 12, broken); err == nil || got.Offset != 5 {
		t.Errorf("a broken part ends with %+v, %v", got, err)
	}
	if _, err := s.Append(t.Context(), sum, 3, 12, bytes.NewReader(content[3:])); !api.IsProblem(err, api.ProblemInvalid) || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("a part at the wrong offset ends with %v", err)
	}
	if got, err := s.Append(t.Context(), sum, 5, 12, bytes.NewReader(content[5:])); err != nil || got.Offset != 12 || got.Complete {
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
	if got, err := s.Append(t.Context(), sum, 0, 12, bytes.NewReader(content)); err != nil || !got.Complete {
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
	if _, err := s.Append(t.Context(), sum, 0, 5, strings.NewReader("wrong")); err != nil {
		t.Fatal(err)
	}
	if err := s.Finish(t.Context(), sum); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("it finishes with %v", err)
	}
	if got, err := s.Status(t.Context(), sum); err != nil || got != (api.BlobStatus{}) {
		t.Errorf("then it is %+v, %v", got, err)
	}
}

func TestAnUploadWithoutRoomIsRefusedBeforeItsFirstByte(t *testing.T) {
	sum, other := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for name, test := range map[string]struct {
		quota, free, total int64  // of a disk of 2000 bytes, of which 100 stay free
		want               string // what the problem tells, "" for none
	}{
		"all that is allowed":          {quota: 14, free: 110, total: 10},
		"more than the quota leaves":   {quota: 13, free: 110, total: 10, want: "10 more bytes are needed, and 9 are left of the 13"},
		"more than the disk may give":  {quota: 99, free: 109, total: 10, want: "10 more bytes are needed, and 109 are free"},
		"a disk that is full":          {quota: 99, free: 0, total: 10, want: "and 0 are free"},
		"a quota that was larger once": {quota: 3, free: 110, total: 10, want: "and 0 are left of the 3"},
		"a size beyond all":            {quota: 99, free: 110, total: math.MaxInt64, want: "are left of the 99"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, 4)
			if _, err := s.Append(t.Context(), other, 0, 4, strings.NewReader("here")); err != nil {
				t.Fatal(err)
			}
			s.quota, s.room = test.quota, func(string) (host.Room, error) { return host.Room{Size: 2000, Free: test.free}, nil }
			content := strings.NewReader("0123456789")
			_, err := s.Append(t.Context(), sum, 0, test.total, content)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !api.IsProblem(err, api.ProblemQuota) || !strings.Contains(err.Error(), test.want) || content.Len() != 10 {
				t.Errorf("it ends with %v, and %d of 10 bytes are unread", err, content.Len())
			}
		})
	}
}

func TestAnUploadThatLosesItsRoomIsRemoved(t *testing.T) {
	sum := strings.Repeat("a", 64)
	full := iotest.ErrReader(unix.ENOSPC) // as the disk would say
	for name, test := range map[string]struct {
		free    int64
		content io.Reader
	}{
		"before its next part": {0, strings.NewReader("56789")},
		"on its way":           {105, io.MultiReader(strings.NewReader("56"), full)},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, 10)
			if _, err := s.Append(t.Context(), sum, 0, 10, strings.NewReader("01234")); err != nil {
				t.Fatal(err)
			}
			s.room = func(string) (host.Room, error) { return host.Room{Size: 2000, Free: test.free}, nil }
			if got, err := s.Append(t.Context(), sum, 5, 10, test.content); !api.IsProblem(err, api.ProblemQuota) || got != (api.BlobStatus{}) {
				t.Errorf("it ends with %+v, %v", got, err)
			}
			if used, err := s.used(); err != nil || used != 0 {
				t.Errorf("%d bytes are left behind, %v", used, err)
			}
		})
	}
}

func TestRoomIsMadeBeforeAnUploadIsRefused(t *testing.T) {
	now := time.Now()
	s, err := Open(t.TempDir(), 10, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	s.WhenFull(func() {
		if err := s.Collect(nil, nil); err != nil {
			t.Error(err)
		}
	})
	old, sum := strings.Repeat("a", 64), strings.Repeat("b", 64)
	if _, err := s.Append(t.Context(), old, 0, 4, strings.NewReader("left")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), sum, 0, 6, strings.NewReader("012")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(Grace + time.Minute)
	s.quota = 6
	if got, err := s.Append(t.Context(), sum, 3, 6, strings.NewReader("345")); err != nil || got.Offset != 6 {
		t.Errorf("the upload that goes on after a day ends with %+v, %v", got, err)
	}
	if status, err := s.Status(t.Context(), old); err != nil || status != (api.BlobStatus{}) {
		t.Errorf("the one that was given up is %+v, %v", status, err)
	}
}

func TestOnlyChecksumsAreNames(t *testing.T) {
	s := open(t, 10)
	for _, sum := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("a", 63)} {
		_, status := s.Status(t.Context(), sum)
		_, appended := s.Append(t.Context(), sum, 0, 1, strings.NewReader("x"))
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
		archive := artifacttest.Pack(artifacttest.File("name", name))
		sums[name] = sumOf(archive)
		if _, err := s.Append(t.Context(), sums[name], 0, int64(len(archive)), bytes.NewReader(archive)); err != nil {
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
	if _, err := s.Append(t.Context(), part, 0, 1, strings.NewReader("x")); err != nil {
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
	if _, err := s.Status(t.Context(), sums["asked for"]); err != nil {
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

// TestUploadsAreOneAtATimeAndLeaveNoLock: callers can name any number of blobs.
func TestUploadsAreOneAtATimeAndLeaveNoLock(t *testing.T) {
	s := open(t, 1000)
	for i := range 20 {
		sum := sumOf([]byte{byte(i)})
		_ = s.Finish(t.Context(), sum)
		_, _ = s.Append(t.Context(), sum, 5, 9, strings.NewReader("none"))
	}
	if len(s.uploads) > 0 {
		t.Errorf("%d locks of uploads that failed are kept", len(s.uploads))
	}
	content := []byte("0123456789")
	sum := sumOf(content)
	var all sync.WaitGroup
	var at, went atomic.Int32
	for range 8 { // each of them would go on from where the one before it came to
		all.Go(func() {
			unlock := s.lock(sum)
			if at.Add(1) != 1 {
				t.Error("two write at once")
			}
			runtime.Gosched()
			at.Add(-1)
			unlock()
			if _, err := s.Append(t.Context(), sum, 0, 10, bytes.NewReader(content)); err == nil {
				went.Add(1)
			}
		})
	}
	all.Wait()
	if status, err := s.Status(t.Context(), sum); err != nil || status.Offset != 10 || went.Load() != 1 || len(s.uploads) > 0 {
		t.Errorf("%d went on, the upload is %+v (%v), with %d locks", went.Load(), status, err, len(s.uploads))
	}
}
