package artifact

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"io"
)

// gzipMagic begins each member of a gzip file (RFC 1952).
const gzipMagic = "\x1f\x8b"

// packWith is the remedy for a file of another format.
const packWith = `pack the release with "tar -C DIRECTORY -czf FILE ."`

// source reads the artifact, stops with its context, and keeps the error of
// the reader below: that is no fault of the artifact.
type source struct {
	ctx context.Context //nolint:containedctx // lives as long as the one read that it bounds
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		s.err = context.Cause(s.ctx)
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// unzipped is the content of a gzip file of any number of members. Its errors
// are [Error]s, apart from those of the source.
type unzipped struct {
	source  *source
	packed  *bufio.Reader
	member  *gzip.Reader
	members int   // so far, with this one
	limit   int64 // of bytes
	count   int64 // bytes so far
	zeros   int   // how many of the last bytes are zero, counted to a block at most
	err     error // what the next Read returns
}

// unzip begins to read. What is no gzip file is an [Error] that says what it is.
func unzip(s *source, limit int64) (*unzipped, error) {
	packed := bufio.NewReaderSize(s, 64<<10)
	head, _ := packed.Peek(blockSize)
	if s.err != nil {
		return nil, s.err
	}
	if len(head) == 0 {
		return nil, refuse("", "is empty (0 bytes); build it again")
	}
	if !bytes.HasPrefix(head, []byte(gzipMagic)) {
		return nil, refuse("", "is not a gzipped tar file%s; %s", formatOf(head), packWith)
	}
	u := &unzipped{source: s, packed: packed, members: 1, limit: limit}
	member, err := gzip.NewReader(packed)
	if err != nil {
		return nil, u.explain(err)
	}
	member.Multistream(false)
	u.member = member
	return u, nil
}

// formatOf names the format of a file that begins with head.
func formatOf(head []byte) string {
	for _, f := range []struct {
		offset      int
		magic, name string
	}{
		{0, "PK\x03\x04", "a zip file"},
		{0, "\x28\xb5\x2f\xfd", "compressed with zstd"},
		{0, "\xfd7zXZ\x00", "compressed with xz"},
		{0, "BZh", "compressed with bzip2"},
		{0, "\x7fELF", "a program"},
		{257, "ustar", "a tar file that is not compressed"},
	} {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return ": it is " + f.name
		}
	}
	return ""
}

func (u *unzipped) Read(p []byte) (int, error) {
	for u.err == nil { // a member may hold nothing
		n, err := u.member.Read(p)
		u.note(p[:n])
		switch {
		case u.count > u.limit:
			u.err = refuse("", "unpacks to far more than it may; is it the file that was meant?")
		case errors.Is(err, io.EOF):
			u.err = u.next()
		case err != nil:
			u.err = u.explain(err)
		}
		if n > 0 {
			return n, nil // the error comes with the next read
		}
	}
	return 0, u.err
}

// note counts bytes, and how many of the last are zero.
func (u *unzipped) note(p []byte) {
	u.count += int64(len(p))
	tail := p[max(0, len(p)-blockSize):]
	zeros := len(tail) - len(bytes.TrimRight(tail, "\x00"))
	if zeros == len(tail) {
		zeros += u.zeros
	}
	u.zeros = min(zeros, blockSize)
}

// next goes on with the next member; [io.EOF] if there is none.
func (u *unzipped) next() error {
	head, _ := u.packed.Peek(len(gzipMagic))
	switch {
	case u.source.err != nil:
		return u.source.err
	case len(head) == 0:
		return io.EOF
	case string(head) != gzipMagic:
		return refuse("", "has more bytes after its end; it is damaged: build it again, or copy it again")
	}
	if u.members++; u.members > MaxMembers {
		return refuse("", "has more than %d gzip members, which is the limit; %s", MaxMembers, packWith)
	}
	if err := u.member.Reset(u.packed); err != nil {
		return u.explain(err)
	}
	u.member.Multistream(false)
	return nil
}

// explain turns an error of the decompression into an [Error].
func (u *unzipped) explain(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case u.source.err != nil:
		return u.source.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return refuse("", "ends in the middle; it was cut short: build it again, or copy it again")
	case errors.Is(err, gzip.ErrChecksum):
		return refuse("", "is damaged: its content does not match its own checksum (gzip); build it again, or copy it again")
	case errors.Is(err, gzip.ErrHeader), errors.As(err, &corrupt):
		return refuse("", "is damaged: it cannot be decompressed (%v); build it again, or copy it again", err)
	}
	return refuse("", "cannot be decompressed: %v", err)
}
