package artifact

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
)

// format is how an artifact is made.
type format string

const (
	gzipped   format = "gzip"
	zstandard format = "zstd"
	program   format = "program"
)

const (
	// gzipMagic begins each member of a gzip file (RFC 1952), zstdMagic a frame
	// of zstd (RFC 8878), elfMagic a program.
	gzipMagic = "\x1f\x8b"
	zstdMagic = "\x28\xb5\x2f\xfd"
	elfMagic  = "\x7fELF"
	// skippableMagic is the end of what begins a skippable frame of zstd, which
	// some programs write first; the byte before it is 0x50 to 0x5f.
	skippableMagic = "\x2a\x4d\x18"
)

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

// packed is an artifact as it is read, with its beginning there.
type packed struct {
	*bufio.Reader
	source *source
}

// headSize is how much of an artifact can be looked at before it is read.
const headSize = 64 << 10

func newPacked(ctx context.Context, r io.Reader) packed {
	s := &source{ctx: ctx, r: r}
	return packed{bufio.NewReaderSize(s, headSize), s}
}

// head returns the next n bytes without reading them, fewer if there are not as
// many. The error is that of the reader below.
func (p packed) head(n int) ([]byte, error) {
	head, _ := p.Peek(n)
	return head, p.source.err
}

// recognise tells the format of an artifact by its content. What is none of
// them is an [Error] that says what it is.
func (p packed) recognise() (format, error) {
	head, err := p.head(blockSize)
	switch {
	case err != nil:
		return "", err
	case len(head) == 0:
		return "", refuse("", "is empty (0 bytes); build it again")
	case bytes.HasPrefix(head, []byte(gzipMagic)):
		return gzipped, nil
	case bytes.HasPrefix(head, []byte(zstdMagic)), isSkippable(head):
		return zstandard, nil
	case bytes.HasPrefix(head, []byte(elfMagic)):
		return program, nil
	}
	return "", refuse("", "is neither a tar file compressed with gzip or zstd, nor a program for Linux%s; %s", formatOf(head), packWith)
}

func isSkippable(head []byte) bool {
	return len(head) > 0 && head[0]&0xf0 == 0x50 && strings.HasPrefix(string(head[1:]), skippableMagic)
}

// formatOf names the format of a file that begins with head.
func formatOf(head []byte) string {
	for _, f := range []struct {
		offset      int
		magic, name string
	}{
		{0, "PK\x03\x04", "a zip file"},
		{0, "\xfd7zXZ\x00", "compressed with xz"},
		{0, "BZh", "compressed with bzip2"},
		{0, "\x04\x22\x4d\x18", "compressed with lz4"},
		{0, "7z\xbc\xaf\x27\x1c", "a 7z file"},
		{0, "!<arch>\n", "a Debian package or another archive of ar"},
		{0, "MZ", "a program for Windows"},
		{0, "\xcf\xfa\xed\xfe", "a program for macOS"},
		{0, "\xca\xfe\xba\xbe", "a program for macOS or a Java class"},
		{0, "#!", "a script, which goes into a tar file"},
		{257, "ustar", "a tar file that is not compressed"},
	} {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return ": it is " + f.name
		}
	}
	return ""
}

// unpacked is what a compressed artifact holds.
type unpacked struct {
	source *source
	// from decompresses. Its errors are [Error]s, those of the source, or
	// [io.EOF]; after one it is not read again.
	from  io.Reader
	limit int64 // of bytes
	count int64 // bytes so far
	zeros int   // how many of the last bytes are zero, counted to a block at most
	err   error // what the next Read returns
}

func (u *unpacked) Read(p []byte) (int, error) {
	for u.err == nil { // what is compressed may hold nothing
		n, err := u.from.Read(p)
		u.note(p[:n])
		if u.err = err; u.count > u.limit {
			u.err = refuse("", "unpacks to far more than it may; is it the file that was meant?")
		}
		if n > 0 {
			return n, nil // the error comes with the next read
		}
	}
	return 0, u.err
}

// note counts bytes, and how many of the last are zero.
func (u *unpacked) note(p []byte) {
	u.count += int64(len(p))
	tail := p[max(0, len(p)-blockSize):]
	zeros := len(tail) - len(bytes.TrimRight(tail, "\x00"))
	if zeros == len(tail) {
		zeros += u.zeros
	}
	u.zeros = min(zeros, blockSize)
}

// The texts of what is wrong with compressed files of any format.
func cutShort() error {
	return refuse("", "ends in the middle; it was cut short: build it again, or copy it again")
}

func wrongChecksum(f format) error {
	return refuse("", "is damaged: its content does not match its own checksum (%s); build it again, or copy it again", f)
}

func undecodable(err error) error {
	return refuse("", "is damaged: it cannot be decompressed (%v); build it again, or copy it again", err)
}

func bytesAfterEnd() error {
	return refuse("", "has more bytes after its end; it is damaged: build it again, or copy it again")
}
