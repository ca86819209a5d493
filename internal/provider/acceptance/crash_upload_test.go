//go:build lab

package acceptance

import (
	"archive/tar"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// bulk is how much is added to the release, so that its upload takes a while.
const bulk = 256 << 20

// enlarge packs the release again: with a large file that cannot be compressed,
// and with zstd.
func (s *stack) enlarge() {
	s.t.Helper()
	packed, err := os.Open(s.release)
	if err != nil {
		s.t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(packed)
	if err != nil {
		s.t.Fatal(err)
	}
	large, err := os.Create(s.release + ".large")
	if err != nil {
		s.t.Fatal(err)
	}
	zipped, err := zstd.NewWriter(large, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		s.t.Fatal(err)
	}
	from, to := tar.NewReader(unzipped), tar.NewWriter(zipped)
	for {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = to.WriteHeader(header)
		}
		if err == nil {
			_, err = io.Copy(to, from)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	err = to.WriteHeader(&tar.Header{Name: "bulk", Mode: 0o644, Size: bulk})
	if err == nil {
		_, err = io.CopyN(to, rand.Reader, bulk)
	}
	if err = errors.Join(err, to.Close(), zipped.Close(), large.Close(), packed.Close(), os.Rename(large.Name(), s.release)); err != nil {
		s.t.Fatal(err)
	}
}

// uploads is the moment at which a machine has so many MiB of an upload.
func uploads(machine string, mib int) moment {
	return holds(machine, fmt.Sprintf(`[ "$(stat -c %%s /var/lib/foobar/blobs/*.part 2>/dev/null || echo 0)" -gt %d ]`, mib<<20))
}

// An upload goes on after a kill of the agent in it, and after one of Terraform:
// what had arrived is in the artifact in the end. (A part is only ever added to;
// one that begins again is another file.)
func TestKilledUploadGoesOn(t *testing.T) {
	s := newStack(t)
	s.enlarge()
	a := s.begin(s.lab)
	a.await(uploads("web1", 8))
	part := strings.TrimSpace(s.lab.Exec("web1", "sh", "-c", "stat -c %i /var/lib/foobar/blobs/*.part"))
	s.lab.Exec("web1", "systemctl", "kill", "--kill-whom=main", "--signal=KILL", "foobar-agent.service")
	a.await(uploads("web1", 40))
	if !a.kill(false) {
		t.Fatal("the apply ended before it was killed")
	}
	if left := strings.TrimSpace(s.lab.Exec("web1", "sh", "-c", "stat -c %i /var/lib/foobar/blobs/*.part")); left != part {
		t.Errorf("left of the upload is the file %s, not %s, in which it began", left, part)
	}
	s.apply()
	if got := strings.TrimSpace(s.lab.Exec("web1", "sh", "-c", "cd /var/lib/foobar/blobs && stat -c %i $(ls | grep -v manifest)")); got != part {
		t.Errorf("the artifact is the file %s, not %s, in which its upload began", got, part)
	}
	s.settled()
	s.serves()
}
