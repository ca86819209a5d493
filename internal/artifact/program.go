package artifact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"
)

// Program is the name of the only file of a release whose artifact is a program
// by itself: its command is "./app".
const Program = "app"

// What an ELF file has for a program that this kind of machine can run. The
// numbers are those of the System V ABI, as in elf(5).
const (
	elfHeader  = 64 // bytes of a header of 64 bit
	elfSegment = 56 // bytes of a program header

	elf64, elfLittle = 2, 1
	elfSystemV       = 0
	elfLinux         = 3
	elfExecutable    = 2
	elfShared        = 3 // also a program that can be loaded anywhere
	elfX8664         = 62
	elfARM64         = 183
	segmentLoad      = 1
	segmentInterp    = 3
)

// withoutLibraries is the remedy for a program that does not stand alone.
const withoutLibraries = `link it statically (Go: CGO_ENABLED=0; Rust: a musl target), or pack it with the rest of the release into a tar file`

// readProgram gives a program to a sink, as the only file of a release.
func readProgram(p packed, limits Limits, to Sink) (Summary, error) {
	head, err := p.head(headSize)
	if err != nil {
		return Summary{}, err
	}
	length, err := checkProgram(head)
	if err != nil {
		return Summary{}, err
	}
	text := &programText{packed: p, limit: limits.Bytes, least: length}
	// It has no time of its own, and the same artifact is the same release.
	err = to.File(File{Path: Program, Mode: 0o755, Modified: time.Unix(0, 0).UTC()}, text)
	if err == nil {
		_, err = io.Copy(io.Discard, text)
	}
	return Summary{Bytes: text.count, Entries: 1}, err
}

// programText is a program as it is read.
type programText struct {
	packed packed
	limit  int64 // of bytes
	least  int64 // how long its headers say that it is
	count  int64 // bytes so far
}

func (t *programText) Read(p []byte) (int, error) {
	n, err := t.packed.Read(p)
	t.count += int64(n)
	switch {
	case t.packed.source.err != nil:
		err = t.packed.source.err
	case t.count > t.limit:
		err = tooLarge(t.limit)
	case errors.Is(err, io.EOF) && t.count < t.least:
		err = cutShort()
	}
	return n, err
}

// segment is what a program header says.
type segment struct {
	kind         uint32
	offset, size uint64
}

// checkProgram checks a program by its beginning, and returns how many bytes it
// has at least.
func checkProgram(head []byte) (length int64, err error) {
	if len(head) < elfHeader {
		return 0, cutShort()
	}
	if err := checkPlatform(head); err != nil {
		return 0, err
	}
	segments, length, err := segmentsOf(head)
	if err != nil {
		return 0, err
	}
	loads := false
	for _, s := range segments {
		switch s.kind {
		case segmentInterp:
			return 0, refuse("", "is a program that needs %s and the libraries of the machine that it was built on; %s", interpreterOf(head, s), withoutLibraries)
		case segmentLoad:
			loads = true
		}
	}
	if !loads || binary.LittleEndian.Uint64(head[24:]) == 0 { // e_entry, where a program starts
		return 0, refuse("", "is no program, but a library or another file of a linker; %s", withoutLibraries)
	}
	return length, nil
}

// checkPlatform refuses programs for other kinds of machines.
func checkPlatform(head []byte) error {
	const platform = `build it for Linux on amd64 or arm64, whichever the machine has`
	kind, machine := binary.LittleEndian.Uint16(head[16:]), binary.LittleEndian.Uint16(head[18:])
	switch {
	case head[4] != elf64 || head[5] != elfLittle:
		return refuse("", "is a program for a machine of 32 bit or of another byte order; %s", platform)
	case head[7] != elfSystemV && head[7] != elfLinux:
		return refuse("", "is a program for another operating system than Linux; %s", platform)
	case machine != elfX8664 && machine != elfARM64:
		return refuse("", "is a program for another processor; %s", platform)
	case kind != elfExecutable && kind != elfShared:
		return refuse("", "is no program, but an object file or a core dump; %s", withoutLibraries)
	}
	return nil
}

// segmentsOf returns the program headers of a file that begins with head, and
// how long it has to be to hold what its headers name.
func segmentsOf(head []byte) (segments []segment, length int64, err error) {
	le := binary.LittleEndian
	at, size, count := le.Uint64(head[32:]), uint64(le.Uint16(head[54:])), uint64(le.Uint16(head[56:]))
	damaged := refuse("", "is damaged: it begins like a program, and its headers are not those of one; build it again")
	if size != elfSegment || count == 0 || at < elfHeader || at > headSize || at+size*count > headSize {
		return nil, 0, damaged
	}
	end := at + size*count
	if uint64(len(head)) < end {
		return nil, 0, cutShort()
	}
	for header := range slices.Chunk(head[at:end], elfSegment) {
		s := segment{kind: le.Uint32(header), offset: le.Uint64(header[8:]), size: le.Uint64(header[32:])}
		if !inReach(s.offset, s.size) {
			return nil, 0, damaged
		}
		segments, end = append(segments, s), max(end, s.offset+s.size)
	}
	// The table of sections is the last thing that linkers write.
	table, tableSize := le.Uint64(head[40:]), uint64(le.Uint16(head[58:]))*uint64(le.Uint16(head[60:]))
	if tableSize > 0 {
		if !inReach(table, tableSize) {
			return nil, 0, damaged
		}
		end = max(end, table+tableSize)
	}
	return segments, int64(end), nil //nolint:gosec // G115: inReach saw to it
}

// inReach reports whether a part of a file lies where one can be: 1 TiB is far
// above any artifact, and far from an overflow.
func inReach(offset, size uint64) bool { return offset <= 1<<40 && size <= 1<<40 }

// interpreterOf returns the name of the dynamic linker that a program wants.
func interpreterOf(head []byte, s segment) string {
	if s.size == 0 || s.size > MaxPath || s.offset+s.size > uint64(len(head)) {
		return "a dynamic linker"
	}
	name, _, _ := bytes.Cut(head[s.offset:s.offset+s.size], []byte{0})
	return "the dynamic linker " + quote(string(name))
}
