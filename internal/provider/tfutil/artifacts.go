package tfutil

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// Artifacts are the files of releases that were read on this walk. A file is
// read once, to its end: it is hashed and checked at the same time, however
// many app servers run it. A file of another size or time is another one.
// The zero value is ready. It may be used by several goroutines.
type Artifacts struct {
	mu   sync.Mutex
	read map[artifactKey]*artifactRead
}

type artifactKey struct {
	path     string
	size     int64
	modified time.Time
	maxBytes int64
}

// artifactRead is one file; its mutex makes the others wait while one reads.
type artifactRead struct {
	mu     sync.Mutex
	done   bool
	sha256 string
	digest artifact.Digest
	bad    *artifact.Error
	holds  *artifact.Contents
}

// Artifact is the file of a release, open for reading. What is uploaded is the
// very file that was hashed.
type Artifact struct {
	*os.File
	// SHA256 is its checksum in hexadecimal, Size its length in bytes.
	SHA256 string
	Size   int64
	// Digest is what a signature of it signs.
	Digest artifact.Digest
	// Bad says why it cannot be unpacked on a machine, nil if it can.
	Bad *artifact.Error
	// Holds is what is in it, as far as it was read.
	Holds *artifact.Contents
}

// Open opens, hashes and checks the file at a path; its release may be of
// maxBytes bytes when it is unpacked. The caller closes it. A file that is not
// there is [fs.ErrNotExist].
func (a *Artifacts) Open(ctx context.Context, path string, maxBytes int64) (_ *Artifact, err error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the artifact: %w", err)
	}
	if !before.Mode().IsRegular() { // to open a pipe would wait for its writer
		return nil, fmt.Errorf("%s is %s, not a file; name the file of the artifact", path, sortOf(before.Mode()))
	}
	file, err := os.Open(path) //nolint:gosec // G304: naming a file to read is what the attribute is for
	if err != nil {
		return nil, fmt.Errorf("read the artifact: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close() // nothing was written
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the artifact: %w", err)
	}
	read := a.of(artifactKey{path, info.Size(), info.ModTime(), maxBytes})
	if err := read.once(ctx, file, info, maxBytes); err != nil {
		return nil, err
	}
	return &Artifact{File: file, SHA256: read.sha256, Size: info.Size(), Digest: read.digest, Bad: read.bad, Holds: read.holds}, nil
}

func sortOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	}
	return "a device or a socket"
}

func (a *Artifacts) of(key artifactKey) *artifactRead {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.read == nil {
		a.read = map[artifactKey]*artifactRead{}
	}
	if a.read[key] == nil {
		a.read[key] = &artifactRead{}
	}
	return a.read[key]
}

// once reads the file, unless that was done.
func (r *artifactRead) once(ctx context.Context, file *os.File, before fs.FileInfo, maxBytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return nil
	}
	digest := artifact.NewHash()
	holds := &artifact.Contents{}
	sum, bad, err := readArtifact(ctx, io.TeeReader(file, digest), maxBytes, holds)
	if err != nil {
		return fmt.Errorf("read the artifact %s: %w", file.Name(), err)
	}
	after, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the artifact %s: %w", file.Name(), err)
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return fmt.Errorf("the file %s was changed while it was read; wait until the build is done, then plan again", file.Name())
	}
	r.sha256, r.digest, r.bad, r.holds, r.done = sum, digest.Sum(nil), bad, holds, true
	return nil
}

// readArtifact hashes a file to its end, checks it on the way, and notes what it holds.
func readArtifact(ctx context.Context, file io.Reader, maxBytes int64, holds *artifact.Contents) (sum string, bad *artifact.Error, err error) {
	hash := sha256.New()
	hashed := io.TeeReader(file, hash)
	_, err = artifact.Read(ctx, hashed, artifact.Limits{Bytes: maxBytes}, holds)
	if err != nil && !errors.As(err, &bad) {
		return "", nil, err
	}
	if _, err := io.Copy(io.Discard, hashed); err != nil { // a check may end early
		return "", nil, err
	}
	return hex.EncodeToString(hash.Sum(nil)), bad, nil
}
