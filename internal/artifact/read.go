package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"time"
)

// blockSize is that of tar.
const blockSize = 512

// overhead is how much of a tar file an entry may take beside its content:
// headers, long names, attributes, padding.
const overhead = 8 << 10

// File is a regular file of an artifact.
type File struct {
	// Path is relative to the top directory, clean, with slashes.
	Path string
	// Mode is 0755 if the owner may run it, 0644 otherwise.
	Mode fs.FileMode
	// Modified is in whole seconds of UTC, between 1970 and 2100.
	Modified time.Time
}

// Sink takes the entries of an artifact in their order, each once it was found
// good. A directory comes before what is in it, and a path only once. An error
// ends the reading and is returned as it is.
type Sink interface {
	Dir(path string) error
	// File is given the content, which need not be read to its end. The errors
	// of content are the artifact's.
	File(f File, content io.Reader) error
	// Symlink is given a target that is relative, or an interpreter; where it
	// leads is only known to be allowed once [Read] has returned.
	Symlink(path, target string) error
	// HardLink is given a file that came before.
	HardLink(path, target string) error
}

// Summary is the size of an artifact that is good.
type Summary struct {
	// Bytes is the size of all files together, unpacked.
	Bytes int64
	// Entries is the number of files, links and directories.
	Entries int
}

// Check reads an artifact to its end and returns an [Error] if it breaks a
// rule. Errors of r and of the context are returned as they are.
func Check(ctx context.Context, r io.Reader, limits Limits) (Summary, error) {
	return Read(ctx, r, limits, nowhere{})
}

// nowhere is the sink of a check.
type nowhere struct{}

func (nowhere) Dir(string) error           { return nil }
func (nowhere) File(File, io.Reader) error { return nil }
func (nowhere) Symlink(_, _ string) error  { return nil }
func (nowhere) HardLink(_, _ string) error { return nil }

// Read reads an artifact to its end and gives its entries to a sink. What
// breaks a rule is an [Error]: names that are absolute or leave the directory,
// links that lead out, devices, setuid files, names that come twice, more than
// the limits, and a file that is damaged anywhere.
//
// The format is recognised by the content: a tar file compressed with gzip or zstd, or
// one program, which becomes the file [Program].
func Read(ctx context.Context, r io.Reader, limits Limits, to Sink) (Summary, error) {
	if limits.Entries == 0 {
		limits.Entries = DefaultEntries
	}
	p := newPacked(ctx, r)
	found, err := p.recognise()
	if err != nil {
		return Summary{}, err
	}
	var from io.Reader
	switch found {
	case program:
		return readProgram(p, limits, to)
	case gzipped:
		from, err = newGunzip(p)
	case zstandard:
		var frames *unzstd
		if frames, err = newUnzstd(p); err == nil {
			defer frames.Close()
		}
		from = frames
	}
	if err != nil {
		return Summary{}, err
	}
	return readTar(ctx, &unpacked{source: p.source, from: from, limit: limits.Bytes + int64(limits.Entries)*overhead + 1<<20}, found, limits, to)
}

// readTar reads the tar file that a compressed one holds.
func readTar(ctx context.Context, content *unpacked, found format, limits Limits, to Sink) (Summary, error) {
	d := &reading{
		tree: tree{nodes: map[string]node{}, limits: limits}, to: to,
		format: found, unpacked: content, tar: tar.NewReader(content),
	}
	if err := d.entries(); err != nil {
		return Summary{}, err
	}
	if err := d.end(); err != nil {
		return Summary{}, err
	}
	if err := d.tree.checkLinks(ctx); err != nil {
		return Summary{}, err
	}
	return Summary{Bytes: d.bytes, Entries: len(d.tree.nodes)}, nil
}

// reading is one [Read] under way.
type reading struct {
	tree     tree
	to       Sink
	format   format
	unpacked *unpacked
	tar      *tar.Reader
	bytes    int64
	last     string // name of the last entry
}

func (d *reading) entries() error {
	for {
		header, err := d.tar.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, tar.ErrInsecurePath): // a setting of Go's; names are checked here
			return d.explain(err)
		}
		if err := d.entry(header); err != nil {
			return err
		}
		d.last = header.Name
	}
}

// explain turns an error of the tar reader into an [Error].
func (d *reading) explain(err error) error {
	if bad, ok := errors.AsType[*Error](err); ok {
		return bad
	}
	switch {
	case d.unpacked.source.err != nil:
		return d.unpacked.source.err
	case d.last == "" && (errors.Is(err, tar.ErrHeader) || d.unpacked.count < blockSize):
		return refuse("", "holds no tar file, although it is compressed with %s; %s", d.format, packWith)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("", "ends in the middle, after the entry %s; it was cut short while it was packed: build it again", quote(d.last))
	case errors.Is(err, tar.ErrFieldTooLong):
		return refuse("", "is refused: %s has a header of more than 1 MiB, and at most that is allowed for an entry's name and attributes; pack it without attributes (without --xattrs, --acls and --selinux of tar)", d.next())
	}
	return refuse("", "is damaged after the entry %s (%v); build it again", quote(d.last), err)
}

// next names the entry that is not read yet.
func (d *reading) next() string {
	if d.last == "" {
		return "its first entry"
	}
	return "the entry after " + quote(d.last)
}

// end makes sure that the tar file was whole and that nothing comes after it:
// a reader of tar stops at the end mark, before gzip's checksum.
func (d *reading) end() error {
	cut := errors.Is(d.unpacked.err, io.EOF) && d.unpacked.zeros < blockSize
	switch {
	case d.unpacked.count == 0:
		return refuse("", "is empty: there is nothing in it; %s", packWith)
	case cut:
		return refuse("", "ends after the entry %s without the end mark of a tar file; it was cut short while it was packed: build it again", quote(d.last))
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := d.unpacked.Read(buffer)
		for _, b := range buffer[:n] {
			if b != 0 {
				return refuse("", "has data after the end of its tar file, which would be lost; pack all files at once, not by joining tar files")
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if len(d.tree.nodes) == 0 {
		return refuse("", "is empty: there is no file in it; %s", packWith)
	}
	return nil
}

func (d *reading) entry(header *tar.Header) error {
	if header.Typeflag == tar.TypeXGlobalHeader { // a comment, such as git archive writes
		return nil
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return d.top(header)
	}
	missing, err := d.tree.place(name, header)
	if err != nil {
		return err
	}
	for _, dir := range missing {
		if err := d.mkdir(dir, false); err != nil {
			return err
		}
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return d.dir(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		return d.file(name, header)
	case tar.TypeSymlink:
		return d.symlink(name, header)
	case tar.TypeLink:
		return d.hardLink(name, header)
	}
	return refuse(header.Name, "is %s; only files, directories and links are allowed", special(header.Typeflag))
}

// top checks an entry for the top directory itself, such as "./".
func (d *reading) top(header *tar.Header) error {
	if header.Typeflag != tar.TypeDir {
		return refuse(header.Name, "is in the place of the release's top directory, and is not a directory")
	}
	return nil
}

// special names a type of entry that is not allowed.
func special(flag byte) string {
	switch flag {
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a named pipe"
	}
	return "an entry of tar's type " + quote(string(rune(flag)))
}

// setID holds the bits of a mode that run a program as another account.
const setID = 0o6000

func (d *reading) dir(name string) error {
	if there, ok := d.tree.nodes[name]; ok { // an entry below it came first
		there.explicit = true
		d.tree.nodes[name] = there
		return nil
	}
	return d.mkdir(name, true)
}

func (d *reading) mkdir(name string, explicit bool) error {
	if err := d.tree.add(name, node{kind: aDir, explicit: explicit}); err != nil {
		return err
	}
	return d.to.Dir(name)
}

func (d *reading) file(name string, header *tar.Header) error {
	if header.Mode&setID != 0 {
		return refuse(header.Name, "is a setuid or setgid file, which is not allowed: an app has no other account; run chmod ug-s on it")
	}
	if header.Size > d.tree.limits.Bytes-d.bytes {
		return tooLarge(d.tree.limits.Bytes)
	}
	if err := d.tree.add(name, node{kind: aFile}); err != nil {
		return err
	}
	f := File{Path: name, Mode: 0o644, Modified: modified(header.ModTime)}
	if header.Mode&0o100 != 0 {
		f.Mode = 0o755
	}
	content := &content{d}
	err := d.to.File(f, content)
	if err == nil {
		_, err = io.Copy(io.Discard, content)
	}
	return err
}

func tooLarge(limit int64) error {
	return refuse("", "unpacks to more than the %d bytes that max_bytes allows; raise max_bytes, or make the release smaller", limit)
}

// content is the content of the present file.
type content struct{ d *reading }

func (c *content) Read(p []byte) (int, error) {
	n, err := c.d.tar.Read(p)
	if c.d.bytes += int64(n); c.d.bytes > c.d.tree.limits.Bytes {
		return n, tooLarge(c.d.tree.limits.Bytes)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return n, c.d.explain(err)
	}
	return n, err
}

// modified keeps a time within what every file system holds. Whole seconds are
// what tar itself keeps.
func modified(t time.Time) time.Time {
	const year2100 = 4102444800
	return time.Unix(min(max(t.Unix(), 0), year2100), 0).UTC()
}

func (d *reading) symlink(name string, header *tar.Header) error {
	if err := checkTarget(name, header); err != nil {
		return err
	}
	if err := d.tree.add(name, node{kind: aLink, target: header.Linkname}); err != nil {
		return err
	}
	return d.to.Symlink(name, header.Linkname)
}

func (d *reading) hardLink(name string, header *tar.Header) error {
	target, err := cleanName(header.Linkname)
	there, ok := d.tree.nodes[target]
	if err != nil || !ok || there.kind != aFile {
		return refuse(header.Name, "is a hard link to %s, which is not a file that comes before it in the artifact", quote(header.Linkname))
	}
	if err := d.tree.add(name, node{kind: aFile}); err != nil {
		return err
	}
	return d.to.HardLink(name, target)
}
