// Package blob keeps uploaded artifacts under their SHA-256, and unpacks them
// so that nothing of them can land outside of their directory.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// DefaultQuota bounds the bytes of all blobs of a machine together: some ten
// releases of the largest size that a spec allows by default.
const DefaultQuota = 10 << 30

// Reserve is how many bytes of a file system an upload leaves free, given its
// size: a twentieth, but not more than 512 MiB. The machine's journals, logs
// and databases need them to go on, and so does an operation of the agent
// itself. Whether a release has room once it is unpacked shows only then.
func Reserve(size int64) int64 { return min(size/20, 512<<20) }

// Store is a directory of blobs. Each is a file named for its checksum; one
// that is still arriving ends in ".part", the list of what an artifact holds, with
// what signatures of it sign, in ".manifest". Its methods may be called at the same time.
type Store struct {
	dir   string
	quota int64
	now   func() time.Time
	// room describes the file system that a directory lies on.
	room func(dir string) (host.Room, error)
	// makeRoom is called before an upload is refused for want of room.
	makeRoom func()

	mu sync.Mutex
	// uploads are the blobs that somebody writes or waits to write.
	uploads map[string]*upload

	// verifying guards verified, and is held while a blob is read: one at a time.
	verifying sync.Mutex
	verified  map[string]verified
}

// Open returns the store in dir, which is made if it is missing. The quota is
// in bytes; now is the clock.
func Open(dir string, quota int64, now func() time.Time) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the blob store: %w", err)
	}
	return &Store{dir: dir, quota: quota, now: now, room: host.RoomOf, makeRoom: func() {}, uploads: map[string]*upload{}, verified: map[string]verified{}}, nil
}

// WhenFull sets what calls [Store.Collect] with what is referred to. It is
// called before an upload is refused, and set before the first one.
func (s *Store) WhenFull(makeRoom func()) { s.makeRoom = makeRoom }

var sumPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

const (
	partSuffix     = ".part"
	manifestSuffix = ".manifest"
)

// checkSum keeps anything but a checksum from becoming a file name.
func checkSum(sum string) error {
	if !sumPattern.MatchString(sum) {
		return invalid("The checksum is not valid", "%q is not a SHA-256: 64 lower-case hexadecimal digits are expected", sum)
	}
	return nil
}

func invalid(title, format string, args ...any) error {
	return &api.Problem{Type: api.ProblemInvalid, Title: title, Detail: fmt.Sprintf(format, args...)}
}

func (s *Store) path(sum string) string { return filepath.Join(s.dir, sum) }

// upload is the lock of the writers of one blob. Writers counts those that hold it or
// wait for it, under the store's own lock.
type upload struct {
	sync.Mutex
	writers int
}

// lock makes the writers of one blob wait for each other. The last one takes the lock
// away: callers can name any number of blobs.
func (s *Store) lock(sum string) (unlock func()) {
	s.mu.Lock()
	u := s.uploads[sum]
	if u == nil {
		u = &upload{}
		s.uploads[sum] = u
	}
	u.writers++
	s.mu.Unlock()
	u.Lock()
	return func() {
		u.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if u.writers--; u.writers == 0 {
			delete(s.uploads, sum)
		}
	}
}

// Status tells how much of a blob is here. One that is damaged is not: it is to be
// uploaded again. Asking for a blob keeps it from being collected for a while, since
// it is about to be used, or continued.
func (s *Store) Status(ctx context.Context, sum string) (api.BlobStatus, error) {
	if err := checkSum(sum); err != nil {
		return api.BlobStatus{}, err
	}
	size, whole, err := s.verify(ctx, sum)
	if err != nil || whole {
		return api.BlobStatus{Complete: whole, Offset: size}, err
	}
	info, err := s.touch(s.path(sum) + partSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return api.BlobStatus{}, nil
	}
	if err != nil {
		return api.BlobStatus{}, fmt.Errorf("look for the blob %s: %w", sum, err)
	}
	return api.BlobStatus{Offset: info.Size()}, nil
}

// touch notes that a file is asked for.
func (s *Store) touch(path string) (fs.FileInfo, error) {
	now := s.now()
	if err := os.Chtimes(path, now, now); err != nil {
		return nil, err
	}
	return os.Stat(path)
}

// Append adds what r gives to an unfinished upload, which must be offset bytes
// long so far and will be total bytes long in the end. What arrived before a
// failure is kept: the next Append goes on from there. An upload whose rest has
// no room is removed and refused with [api.ProblemQuota] before r is read, as
// is one that finds the disk full on its way.
func (s *Store) Append(ctx context.Context, sum string, offset, total int64, r io.Reader) (api.BlobStatus, error) {
	if err := checkSum(sum); err != nil {
		return api.BlobStatus{}, err
	}
	defer s.lock(sum)()
	status, err := s.Status(ctx, sum)
	if err != nil || status.Complete {
		return status, err
	}
	if status.Offset != offset {
		return status, invalid("The upload does not continue", "%d bytes of the blob %s are here; the part begins at %d", status.Offset, sum, offset)
	}
	rest := total - offset
	err = s.admit(rest)
	if api.IsProblem(err, api.ProblemQuota) {
		s.makeRoom()
		err = s.admit(rest)
	}
	var n int64
	if err == nil {
		n, err = s.write(ctx, sum, io.LimitReader(r, rest))
	}
	if api.IsProblem(err, api.ProblemQuota) {
		return api.BlobStatus{}, errors.Join(err, removeIfThere(s.path(sum)+partSuffix))
	}
	return api.BlobStatus{Offset: offset + n}, err
}

// admit refuses an upload whose rest has no room.
func (s *Store) admit(rest int64) error {
	used, err := s.used()
	if err != nil {
		return err
	}
	if left := max(s.quota-used, 0); rest > left {
		return noRoom("%d more bytes are needed, and %d are left of the %d that all uploads of this machine may take; "+
			"make the artifact smaller, remove app servers that are no longer needed, or wait: an artifact that none of them uses is removed %d hours after it was last asked for",
			rest, left, s.quota, int(Grace.Hours()))
	}
	room, err := s.room(s.dir)
	if err != nil {
		return err
	}
	if keep := Reserve(room.Size); rest > room.Free-keep {
		return noRoom("%d more bytes are needed, and %d are free on the file system of %s, of which %d must stay so for the machine itself; "+
			"make the artifact smaller, remove what is no longer needed, or give the machine a larger disk", rest, room.Free, s.dir, keep)
	}
	return nil
}

func noRoom(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemQuota, Title: "There is no room for the upload", Detail: fmt.Sprintf(format, args...)}
}

// write appends what r gives to a part. It is on the disk afterwards: what a
// machine loses with its power is the part of an upload that was on its way.
func (s *Store) write(ctx context.Context, sum string, r io.Reader) (int64, error) {
	f, err := os.OpenFile(s.path(sum)+partSuffix, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("store the blob %s: %w", sum, err)
	}
	n, err := io.Copy(f, reader{ctx, r})
	err = errors.Join(err, f.Sync(), f.Close())
	if full := host.Full(err); full != nil {
		return n, full
	}
	if err != nil {
		return n, fmt.Errorf("store the blob %s: %w", sum, err)
	}
	return n, nil
}

// used returns how many bytes all blobs take.
func (s *Store) used() (int64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("look into the blob store: %w", err)
	}
	var total int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else it was just removed
			total += info.Size()
		}
	}
	return total, nil
}

// Finish checks an upload against its checksum and makes it a blob. One that
// does not match is removed, and refused with [api.ProblemInvalid].
func (s *Store) Finish(ctx context.Context, sum string) error {
	if err := checkSum(sum); err != nil {
		return err
	}
	defer s.lock(sum)()
	if status, err := s.Status(ctx, sum); err != nil || status.Complete {
		return err
	}
	part := s.path(sum) + partSuffix
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Missing(sum)
	}
	if err != nil {
		return fmt.Errorf("finish the blob %s: %w", sum, err)
	}
	found, err := checksum(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("finish the blob %s: %w", sum, err)
	}
	if found != sum {
		return errors.Join(invalid("The upload is damaged", "the uploaded bytes have the SHA-256 %s, not %s; upload them again", found, sum), os.Remove(part))
	}
	if err := s.replace(sum, part); err != nil {
		return fmt.Errorf("finish the blob %s: %w", sum, err)
	}
	return syncDir(s.dir)
}

func checksum(ctx context.Context, r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, reader{ctx, r}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Missing is the problem of a blob that was not uploaded.
func Missing(sum string) *api.Problem {
	return &api.Problem{
		Type: api.ProblemBlobMissing, Title: "The machine lacks the artifact",
		Detail: fmt.Sprintf("this machine has no artifact with the SHA-256 %s; give the file in release.source, so that the apply uploads it", sum),
	}
}

// Open opens a blob for reading. One that is not here is an
// [api.ProblemBlobMissing].
func (s *Store) Open(sum string) (*os.File, error) {
	if err := checkSum(sum); err != nil {
		return nil, err
	}
	f, err := os.Open(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Missing(sum)
	}
	if err != nil {
		return nil, fmt.Errorf("open the blob %s: %w", sum, err)
	}
	return f, nil
}

// Unpack unpacks an artifact into the new directory dir as [Unpack] does, and
// keeps its manifest.
func (s *Store) Unpack(ctx context.Context, sum, dir string, limits Limits) error {
	f, err := s.Open(sum)
	if err != nil {
		return err
	}
	h, digest := sha256.New(), artifact.NewHash()
	read := io.TeeReader(f, io.MultiWriter(h, digest))
	manifest, err := Unpack(ctx, read, dir, limits)
	if err = errors.Join(s.unless(ctx, sum, read, h, err), f.Close()); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.clear(sum); err != nil {
		return err
	}
	return replaceFile(s.path(sum)+manifestSuffix, api.Encode(unpacked{digest.Sum(nil), manifest}))
}

// unpacked is what is known of a blob once it was unpacked, also when it has gone.
type unpacked struct {
	Digest   artifact.Digest `json:"digest"`
	Manifest Manifest        `json:"manifest"`
}

// check holds what was read against what every list has.
func (u unpacked) check(path string) error {
	if len(u.Digest) != artifact.DigestSize {
		return fmt.Errorf("%s holds no digest of an artifact", path)
	}
	return nil
}

// Manifest returns what the blob holds that was unpacked before. It is an
// error that is [fs.ErrNotExist] if it never was, and a [statefile.Damaged] if
// its list is damaged.
func (s *Store) Manifest(sum string) (Manifest, error) {
	if err := checkSum(sum); err != nil {
		return nil, err
	}
	u, err := s.unpacked(sum)
	return u.Manifest, err
}

func (s *Store) unpacked(sum string) (unpacked, error) {
	var u unpacked
	path := s.path(sum) + manifestSuffix
	found, err := statefile.ReadJSON(path, &u, func() error { return u.check(path) })
	if err == nil && !found {
		err = fs.ErrNotExist
	}
	if err != nil {
		return unpacked{}, fmt.Errorf("read the manifest of the blob %s: %w", sum, err)
	}
	return u, nil
}

// Grace is how long a blob stays that nothing refers to: an upload comes
// before the spec that names it, and a slow one is still on its way.
const Grace = 24 * time.Hour

// Collect removes the blobs, parts and manifests that nothing refers to and
// that were not touched for [Grace]. Manifests are kept for trees too, which
// outlive the blobs that they came from.
func (s *Store) Collect(blobs, trees map[string]bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("look into the blob store: %w", err)
	}
	var failures []error
	for _, entry := range entries {
		sum, ending, _ := strings.Cut(entry.Name(), ".")
		if blobs[sum] || ending == manifestSuffix[1:] && trees[sum] {
			continue
		}
		info, err := entry.Info()
		if err != nil || s.now().Sub(info.ModTime()) < Grace {
			continue
		}
		failures = append(failures, removeIfThere(filepath.Join(s.dir, entry.Name())))
	}
	return errors.Join(failures...)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an unused blob: %w", err)
	}
	return nil
}

// replaceFile writes a root-only file so that either its old or its new
// content survives a crash.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// reader reads until its context ends.
type reader struct {
	ctx context.Context //nolint:containedctx // lives as long as the one copy that it bounds
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
