package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// Files are the kinds of files of a [Store] in "blobs", below the agent's directory.
func Files() []statefile.Kind {
	return []statefile.Kind{
		{
			Pattern: "blobs/*" + manifestSuffix, Holds: "the list of what an artifact holds",
			Check: statefile.JSON(func(path string, u unpacked) error { return u.check(path) }), Severity: api.SeverityWarning,
			Then:    "The app's release cannot be compared with it, which is drift. terraform apply unpacks the artifact again.",
			Renewed: true, Leftovers: []string{"blobs/.new-*"},
		},
		{
			Pattern: "blobs/*", Holds: "an uploaded artifact", Severity: api.SeverityWarning,
			Then: "terraform apply uploads it again where it is needed. Remove the file to end this condition.", Renewed: true,
		},
	}
}

// stamp is what changes with a file. Its time of change cannot be set back.
type stamp struct {
	inode         uint64
	size          int64
	modified, set time.Time
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode, s.set = stat.Ino, time.Unix(stat.Ctim.Unix())
	}
	return s
}

// verified is a blob that was read to its end.
type verified struct {
	stamp stamp
	// digest is what a signature signs of it, nil if nobody has asked for it.
	digest artifact.Digest
}

// verify reports whether a blob is here and has its checksum, and how large it is.
// It reads one that it has not read since the file was last changed.
func (s *Store) verify(ctx context.Context, sum string) (size int64, whole bool, err error) {
	s.verifying.Lock()
	defer s.verifying.Unlock()
	info, err := os.Lstat(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for the blob %s: %w", sum, err)
	}
	known := s.verified[sum]
	if known.stamp != stampOf(info) {
		known.digest = nil
		found, err := s.read(ctx, sum, info, io.Discard)
		if ctx.Err() != nil {
			return 0, false, fmt.Errorf("read the blob %s: %w", sum, err)
		}
		if err != nil || found != sum {
			return 0, false, nil //nolint:nilerr // what cannot be read is damaged
		}
	}
	return info.Size(), true, s.trust(sum, known.digest)
}

// Digest returns what a signature signs of a blob: of one that is not here, or is
// damaged, as it was unpacked here. If it never was, it is an [api.ProblemBlobMissing].
func (s *Store) Digest(ctx context.Context, sum string) (artifact.Digest, error) {
	if err := checkSum(sum); err != nil {
		return nil, err
	}
	digest, err := s.digest(ctx, sum)
	if !api.IsProblem(err, api.ProblemBlobMissing) {
		return digest, err
	}
	if kept, kerr := s.unpacked(sum); kerr == nil {
		return kept.Digest, nil
	}
	return nil, err
}

func (s *Store) digest(ctx context.Context, sum string) (artifact.Digest, error) {
	s.verifying.Lock()
	defer s.verifying.Unlock()
	info, err := os.Lstat(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Missing(sum)
	}
	if err != nil {
		return nil, fmt.Errorf("look for the blob %s: %w", sum, err)
	}
	if known := s.verified[sum]; known.digest != nil && known.stamp == stampOf(info) {
		return known.digest, nil
	}
	h := artifact.NewHash()
	found, err := s.read(ctx, sum, info, h)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("read the blob %s: %w", sum, err)
	}
	if err != nil || found != sum { // what cannot be read is damaged
		return nil, Missing(sum)
	}
	digest := h.Sum(nil)
	return digest, s.trust(sum, digest)
}

// read returns the checksum of what is in a blob's place, and copies it.
func (s *Store) read(ctx context.Context, sum string, info fs.FileInfo, to io.Writer) (string, error) {
	if !info.Mode().IsRegular() { // a pipe would wait for a writer
		return "", errors.New("it is no file")
	}
	content, err := os.Open(s.path(sum))
	if err != nil {
		return "", err
	}
	found, err := checksum(ctx, io.TeeReader(content, to))
	return found, errors.Join(err, content.Close())
}

// trust notes that a blob has its checksum, and its digest if that is known. The
// caller holds s.verifying.
func (s *Store) trust(sum string, digest artifact.Digest) error {
	info, err := s.touch(s.path(sum))
	if err != nil {
		return fmt.Errorf("look for the blob %s: %w", sum, err)
	}
	s.verified[sum] = verified{stampOf(info), digest}
	return nil
}

// replace makes a file that has the checksum the blob. What was there is damaged
// and set aside.
func (s *Store) replace(sum, with string) error {
	s.verifying.Lock()
	defer s.verifying.Unlock()
	if _, err := os.Lstat(s.path(sum)); err == nil {
		if _, err := statefile.SetAside(filepath.Dir(s.dir), s.path(sum)); err != nil {
			return err
		}
	}
	if err := os.Rename(with, s.path(sum)); err != nil {
		return err
	}
	return s.trust(sum, nil)
}

// unless returns how an unpacking ended, unless what it has read, and what is
// still to be read, has another checksum: then the blob is damaged, and set aside,
// so that it is uploaded again.
func (s *Store) unless(ctx context.Context, sum string, rest io.Reader, read hash.Hash, ended error) error {
	if _, bad := errors.AsType[*artifact.Error](ended); ended != nil && !bad {
		return ended
	}
	if _, err := io.Copy(io.Discard, reader{ctx, rest}); err != nil && ended == nil {
		return fmt.Errorf("read the blob %s: %w", sum, err)
	} else if err != nil || hex.EncodeToString(read.Sum(nil)) == sum {
		return ended
	}
	if _, err := statefile.SetAside(filepath.Dir(s.dir), s.path(sum)); err != nil {
		return errors.Join(ended, err)
	}
	return Missing(sum)
}

// clear sets aside what a manifest cannot replace.
func (s *Store) clear(sum string) error {
	_, err := s.Manifest(sum)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err = statefile.SetAside(filepath.Dir(s.dir), s.path(sum)+manifestSuffix)
	return err
}
