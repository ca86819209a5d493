// Package artifacttest builds artifacts, good and broken ones, for the tests of
// all who read them: whatever one side refuses, the other has to refuse too.
package artifacttest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Entry is one entry of an artifact. The header's size is that of Text.
type Entry struct {
	Header tar.Header
	Text   string
}

// File returns a regular file.
func File(name, text string) Entry { return Entry{tar.Header{Name: name}, text} }

// Program returns a file that may be run.
func Program(name, text string) Entry { return Entry{tar.Header{Name: name, Mode: 0o755}, text} }

// Dir returns a directory.
func Dir(name string) Entry { return Special(name, tar.TypeDir) }

// Link returns a symbolic link.
func Link(name, target string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, ""}
}

// Hard returns a hard link.
func Hard(name, target string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
}

// Special returns an entry of a type that has no content.
func Special(name string, flag byte) Entry {
	return Entry{tar.Header{Name: name, Typeflag: flag}, ""}
}

// Mode returns an entry of a type and a mode.
func Mode(name string, flag byte, mode int64) Entry {
	return Entry{tar.Header{Name: name, Typeflag: flag, Mode: mode}, ""}
}

// Comment returns what git archive puts before its entries.
func Comment(text string) Entry {
	return Entry{tar.Header{Name: "pax_global_header", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": text}}, ""}
}

// Raw returns a file whose name is written as it is, in whatever encoding.
func Raw(name string) Entry { return Entry{tar.Header{Name: name, Format: tar.FormatGNU}, ""} }

// Tar returns a tar file. It panics on an entry that no tar file can hold.
func Tar(entries ...Entry) []byte {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, e := range entries {
		write(w, e)
	}
	must(w.Close())
	return buffer.Bytes()
}

func write(w *tar.Writer, e Entry) {
	h := e.Header
	h.Size = int64(len(e.Text))
	if h.Mode == 0 && h.Typeflag != tar.TypeXGlobalHeader { // which may have none
		h.Mode = 0o644
	}
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
	}
	must(w.WriteHeader(&h))
	_, err := io.WriteString(w, e.Text)
	must(err)
}

// Gzip returns content as a gzip file.
func Gzip(content []byte) []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, err := w.Write(content)
	must(errors.Join(err, w.Close()))
	return buffer.Bytes()
}

// Zstd returns content as a zstd file of one frame with a checksum, compressed
// with a window of so many bytes.
func Zstd(content []byte, window int) []byte {
	var buffer bytes.Buffer
	w, err := zstd.NewWriter(&buffer, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	must(err)
	_, err = w.Write(content)
	must(errors.Join(err, w.Close()))
	return buffer.Bytes()
}

// Pack returns an artifact.
func Pack(entries ...Entry) []byte { return Gzip(Tar(entries...)) }

// PackZstd returns an artifact that is compressed with zstd.
func PackZstd(entries ...Entry) []byte { return Zstd(Tar(entries...), 1<<20) }

// ELF is a program by itself; what is zero in it has the value of a good one.
type ELF struct {
	// Class, Order, OS, Type and Machine are those of its header.
	Class, Order, OS byte
	Type, Machine    uint16
	// Interpreter is the dynamic linker that it names.
	Interpreter string
	// Segments is how many program headers it says to have, Load the kind of
	// the one that it has.
	Segments uint16
	Load     uint32
	// Entry is where it starts; NoEntry is a library.
	NoEntry bool
	// Text is what follows the headers.
	Text string
}

// Bytes returns the file: a header, program headers, the interpreter and the
// text. No machine can run it.
func (e ELF) Bytes() []byte {
	const header, segment = 64, 56
	count := uint16(1)
	if e.Interpreter != "" {
		count = 2
	}
	after := header + int(count)*segment
	le, b := binary.LittleEndian, make([]byte, after)
	copy(b, "\x7fELF")
	b[4], b[5], b[6], b[7] = cmp.Or(e.Class, 2), cmp.Or(e.Order, 1), 1, e.OS
	le.PutUint16(b[16:], cmp.Or(e.Type, 2))
	le.PutUint16(b[18:], cmp.Or(e.Machine, 62))
	if !e.NoEntry {
		le.PutUint64(b[24:], 0x401000)
	}
	le.PutUint64(b[32:], header)
	le.PutUint16(b[54:], segment)
	le.PutUint16(b[56:], cmp.Or(e.Segments, count))
	size := uint64(after + len(e.Interpreter) + len(e.Text)) //nolint:gosec // G115: a length is not negative
	le.PutUint32(b[header:], cmp.Or(e.Load, 1))
	le.PutUint64(b[header+32:], size)
	if e.Interpreter != "" {
		le.PutUint32(b[header+segment:], 3)
		le.PutUint64(b[header+segment+8:], uint64(after)) //nolint:gosec // G115: nor is this one
		le.PutUint64(b[header+segment+32:], uint64(len(e.Interpreter)))
	}
	return append(b, e.Interpreter+e.Text...)
}

// TooMany returns an artifact of one entry more than n.
func TooMany(n int) []byte {
	var buffer bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&buffer, gzip.BestSpeed)
	must(err)
	w := tar.NewWriter(zipped)
	for i := range n + 1 {
		write(w, File(fmt.Sprintf("f%d", i), ""))
	}
	must(errors.Join(w.Close(), zipped.Close()))
	return buffer.Bytes()
}

// sparse returns a tar file with a sparse file as GNU tar -S writes it: size
// bytes of zeros, with text at an offset.
func sparse(name string, size, offset int, text string) []byte {
	const realSize = 483
	content := Tar(Entry{tar.Header{Name: name, Format: tar.FormatGNU}, text})
	header := content[:block]
	copy(header[386:], fmt.Sprintf("%011o\x00%011o\x00", offset, len(text)))
	copy(header[386+24:], fmt.Sprintf("%011o\x00%011o\x00", size, 0)) // the hole at the end
	copy(header[realSize:], fmt.Sprintf("%011o\x00", size))
	retype(header, tar.TypeGNUSparse)
	return content
}

// header returns an extended header of size bytes, as attributes make one, without the
// entry that it belongs to.
func header(size int) []byte {
	const name = "SCHILY.xattr.user.a="
	record := fmt.Sprintf("%d %s", size, name)
	content := Tar(File("PaxHeaders/a", record+strings.Repeat("x", size-len(record)-1)+"\n"))
	retype(content[:block], tar.TypeXHeader)
	return content[:len(content)-2*block] // the end mark
}

// block is that of tar.
const block = 512

// retype makes the header of a file one of another type.
func retype(header []byte, flag byte) {
	const typeflag, checksum = 156, 148
	header[typeflag] = flag
	copy(header[checksum:], "        ")
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[checksum:], fmt.Sprintf("%06o\x00 ", sum))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
