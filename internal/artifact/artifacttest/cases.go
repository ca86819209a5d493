package artifacttest

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
)

// Case is an artifact and what is said of it.
type Case struct {
	Name    string
	Content []byte
	// Want is part of the text that refuses it, "" if it is good.
	Want string
}

// MaxBytes is how large the release of a [Case] may be, unpacked.
const MaxBytes = 100 << 10

// Cases returns one artifact for each rule, good ones at first.
func Cases() []Case {
	return slices.Concat(good(), names(), links(), kinds(), limits(), damaged(), zstandard(), programs())
}

func good() []Case {
	python := []Entry{Link("venv/bin/python", "python3"), Link("venv/bin/python3", "/usr/bin/python3"), Link("venv/bin/python3.13", "python3"), Link("p", "/usr/bin/python3.13")}
	return []Case{
		{"program and files", Pack(Dir("./"), Dir("bin/"), Program("./bin/app", "x"), File("bin/data", "y")), ""},
		{"file before its directory", Pack(File("a/b", "x"), Dir("a/")), ""},
		{"links within", Pack(File("a/b", "x"), Link("c", "a/b"), Link("a/up", "../c"), Link("nowhere", "missing"), Hard("d", "a/b"), Link("top", ".")), ""},
		{"links of a virtual environment", Pack(python...), ""},
		{"names that differ in case", Pack(File("README", "x"), File("readme", "y")), ""},
		{"name of 255 bytes", Pack(File(strings.Repeat("n", 255), "x")), ""},
		{"long path", Pack(File(strings.Repeat(strings.Repeat("d", 99)+"/", 30)+"f", "x")), ""},
		{"name in UTF-8", Pack(File("café/naïve", "x")), ""},
		{"sparse file", Gzip(sparse("data", 64<<10, 32<<10, "x")), ""},
		{"setgid directory", Pack(Mode("d/", tar.TypeDir, 0o2775), File("d/f", "x")), ""},
		{"sticky directory", Pack(Mode("d/", tar.TypeDir, 0o1777)), ""},
		{"comment of git archive", Pack(Comment("abc"), File("a", "x")), ""},
		{"gzip file of two members", twoMembers(Tar(File("a", "x"))), ""},
		{"padding after the end", Gzip(append(Tar(File("a", "x")), make([]byte, 10<<10)...)), ""},
	}
}

func twoMembers(content []byte) []byte {
	return append(Gzip(content[:700]), Gzip(content[700:])...)
}

func names() []Case {
	return []Case{
		{"absolute name", Pack(File("/etc/passwd", "x")), "has an absolute name"},
		{"name with ..", Pack(File("a/../../b", "x")), `has ".." in its name`},
		{"directory with ..", Pack(Dir("../a/")), `has ".." in its name`},
		{"name with a line break", Pack(File("a\nb", "x")), "control character"},
		{"name with a line break of C1", Pack(File("a\u0085b", "x")), "control character"},
		{"name with a line break of Unicode", Pack(File("a\u2028b", "x")), "control character"},
		{"name with a paragraph break", Pack(File("a\u2029b", "x")), "control character"},
		{"name that reads the other way", Pack(File("a\u202egpj.exe", "x")), "control character"},
		{"name with an isolated direction", Pack(File("a\u2066b", "x")), "control character"},
		{"name with a mark of direction", Pack(File("a\u200fb", "x")), "control character"},
		{"link to a name that reads the other way", Pack(Link("a", "b\u202e")), "control character"},
		{"name with a joined character", Pack(File("👩\u200d💻", "x")), ""},
		{"name that is not UTF-8", Pack(Raw("caf\xe9")), "is not UTF-8"},
		{"name of 256 bytes", Pack(File(strings.Repeat("n", 256), "x")), "part of 256 bytes"},
		{"path too long", Pack(File(strings.Repeat(strings.Repeat("d", 99)+"/", 40)+"f", "x")), "at most 3840 are allowed"},
		{"as deep as is allowed", Pack(File(strings.Repeat("d/", 127)+"f", "x")), ""},
		{"too deep", Pack(File(strings.Repeat("d/", 128)+"f", "x")), "at most 128 parts are allowed"},
		{"file twice", Pack(File("a", "x"), File("./a", "y")), "twice"},
		{"directory twice", Pack(Dir("a/"), Dir("a/")), "twice"},
		{"link over a file", Pack(File("a", "x"), Link("a", "b")), "twice"},
		{"file over a link", Pack(Link("a", "b"), File("a", "x")), "twice"},
		{"file over a directory", Pack(File("a/b", "x"), File("a", "x")), "twice"},
		{"file through a link", Pack(Dir("d/"), Link("a", "d"), File("a/b", "x")), "is not a directory of the artifact"},
		{"file below a file", Pack(File("a", "x"), File("a/b", "x")), "is not a directory of the artifact"},
		{"file as top directory", Pack(File(".", "x")), "top directory"},
	}
}

func links() []Case {
	circle := []Entry{Link("a", "b"), Link("b", "a")}
	var chain []Entry
	for i := range 45 {
		chain = append(chain, Link(strings.Repeat("l", i+1), strings.Repeat("l", i+2)))
	}
	return []Case{
		{"link to an absolute path", Pack(Link("a", "/etc/passwd")), "outside of the artifact"},
		{"link with ..", Pack(Link("a/b", "../../c")), "outside of the artifact"},
		{"link to what is above", Pack(Link("a", "..")), "outside of the artifact"},
		{"links that lead out together", Pack(File("a/b/c", "x"), Link("a/b/up", "../.."), Link("out", "a/b/up/../x")), "outside of the artifact"},
		{"link to another program", Pack(Link("a", "/usr/bin/perl")), "outside of the artifact"},
		{"link beside python", Pack(Link("a", "/usr/bin/python3/../bash")), "outside of the artifact"},
		{"link past python", Pack(Link("p", "/usr/bin/python3"), Link("a", "p/../bash")), "outside of the artifact"},
		{"file below python", Pack(Link("p", "/usr/bin/python3"), File("p/f", "x")), "is not a directory of the artifact"},
		{"links in a circle", Pack(circle...), "in a circle"},
		{"link over many links", Pack(chain...), "more than 40 links"},
		{"link to nothing", Pack(Link("a", "")), "link to nothing"},
		{"link whose target is not UTF-8", Pack(Entry{tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "caf\xe9", Format: tar.FormatGNU}, ""}), "target is not UTF-8"},
		{"hard link to an absolute path", Pack(Hard("a", "/etc/passwd")), "hard link"},
		{"hard link with ..", Pack(Hard("a", "../b")), "hard link"},
		{"hard link to what is missing", Pack(Hard("a", "b")), "hard link"},
		{"hard link to a link", Pack(Link("b", "c"), Hard("a", "b")), "hard link"},
	}
}

func kinds() []Case {
	return []Case{
		{"character device", Pack(Special("a", tar.TypeChar)), "is a device"},
		{"block device", Pack(Special("a", tar.TypeBlock)), "is a device"},
		{"named pipe", Pack(Special("a", tar.TypeFifo)), "is a named pipe"},
		{"unknown type", Pack(Special("a", 'Z')), "tar's type"},
		{"setuid file", Pack(Mode("a", tar.TypeReg, 0o4755)), "setuid or setgid file"},
		{"setgid file", Pack(Mode("a", tar.TypeReg, 0o2755)), "setuid or setgid file"},
	}
}

func limits() []Case {
	half := strings.Repeat("x", MaxBytes/2+1)
	return []Case{
		{"too large", Pack(File("a", half), File("b", half)), "more than the 102400 bytes"},
		{"large header", Gzip(slices.Concat(header(1<<20), Tar(File("a", "x")))), ""},
		{"header too large", Gzip(slices.Concat(header(1<<20+1), Tar(File("a", "x")))), "its first entry has a header of more than 1 MiB"},
		{"header too large of a later entry", Gzip(slices.Concat(Tar(File("a", "x"))[:1024], header(1<<20+1), Tar(File("b", "x")))), `the entry after "a" has a header of more than 1 MiB`},
		{"large sparse file", Gzip(sparse("data", 1<<30, 0, "x")), "more than the 102400 bytes"},
	}
}

func damaged() []Case {
	content := Tar(File("a", random(20<<10)), File("b", "x"))
	whole := Gzip(content)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	twisted := bytes.Clone(content)
	copy(twisted[(1+40)*512:], "not a header") // the header of b
	return []Case{
		{"0 bytes", nil, "is empty (0 bytes)"},
		{"text", []byte("hello"), "is neither a tar file compressed with gzip or zstd, nor a program for Linux; pack"},
		{"zip file", []byte("PK\x03\x04rest"), "is a zip file"},
		{"xz", []byte("\xfd7zXZ\x00rest"), "compressed with xz"},
		{"script", []byte("#!/bin/sh\n"), "is a script"},
		{"tar file that is not compressed", content, "a tar file that is not compressed"},
		{"gzipped text", Gzip([]byte("hello")), "holds no tar file"},
		{"gzipped long text", Gzip([]byte(strings.Repeat("hello", 1000))), "holds no tar file"},
		{"gzipped nothing", Gzip(nil), "there is nothing in it"},
		{"no entries", Pack(), "there is no file in it"},
		{"top directory alone", Pack(Dir("./")), "there is no file in it"},
		{"cut short", whole[:len(whole)/2], "ends in the middle"},
		{"cut short in gzip's trailer", whole[:len(whole)-4], "ends in the middle"},
		{"header of gzip alone", whole[:5], "ends in the middle"},
		{"tar cut short", Gzip(content[:700]), "ends in the middle, after the entry"},
		{"tar cut short between entries", Gzip(content[:(1+40)*512]), "without the end mark"},
		{"bad checksum", flipped, "does not match its own checksum"},
		{"damaged header", Gzip(twisted), "is damaged after the entry"},
		{"bytes after the end", append(bytes.Clone(whole), "garbage"...), "has more bytes after its end"},
		{"two tar files joined", Gzip(append(bytes.Clone(content), content...)), "has data after the end"},
	}
}

func zstandard() []Case {
	content := Tar(Program("bin/app", random(20<<10)), File("b", "x"))
	whole := Zstd(content, 1<<20)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1 // in the checksum
	twisted := bytes.Clone(whole)
	copy(twisted[10:], "\xff\xff\xff\xff\xff\xff\xff\xff")
	skipped := append([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), whole...)
	return []Case{
		{"zstd", whole, ""},
		{"zstd of two frames", append(Zstd(content[:700], 1<<20), Zstd(content[700:], 1<<20)...), ""},
		{"zstd after a frame to be skipped", skipped, ""},
		{"zstd with the largest window", Zstd(content, 8<<20), ""},
		{"zstd with a window too large", []byte(zstdMagic + "\x00\x70\x01\x00\x00"), "zstd window of 16 MiB, and at most 8 MiB"},
		{"zstd of one segment too large", []byte("\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x40\x01\x00\x00"), "zstd window of 1024 MiB"},
		{"zstd whose second frame has a window too large", append(bytes.Clone(whole), zstdMagic+"\x00\x70\x01\x00\x00"...), "zstd window of more than 8 MiB"},
		{"zstd with a dictionary", []byte("\x28\xb5\x2f\xfd\x21\x07\x01\x09\x00\x00x"), "compressed with a dictionary"},
		{"zstd cut short", whole[:len(whole)/2], "ends in the middle"},
		{"zstd cut short in its checksum", whole[:len(whole)-2], "ends in the middle"},
		{"magic of zstd alone", []byte(zstdMagic), "ends in the middle"},
		{"zstd with a bad checksum", flipped, "does not match its own checksum (zstd)"},
		{"damaged zstd", twisted, "is damaged"},
		{"zstd with bytes after the end", append(bytes.Clone(whole), "garbage"...), "has more bytes after its end"},
		{"zstd of text", Zstd([]byte("hello"), 1<<20), "holds no tar file, although it is compressed with zstd"},
		{"zstd of nothing", Zstd(nil, 1<<20), "there is nothing in it"},
		{"zstd too large", PackZstd(File("a", strings.Repeat("x", MaxBytes+1))), "more than the 102400 bytes"},
		{"zstd that leads out", PackZstd(File("../a", "x")), `has ".." in its name`},
		{"tar cut short in zstd", Zstd(content[:700], 1<<20), "ends in the middle, after the entry"},
	}
}

const zstdMagic = "\x28\xb5\x2f\xfd"

func programs() []Case {
	whole := ELF{Text: random(20 << 10)}.Bytes()
	far := bytes.Clone(whole)
	copy(far[64+32:], "\xff\xff\xff\xff\xff\xff\xff\xff") // the size of the segment
	return []Case{
		{"program", whole, ""},
		{"program for ARM that can be loaded anywhere", ELF{Type: 3, Machine: 183, OS: 3}.Bytes(), ""},
		{"program with more at its end", append(bytes.Clone(whole), "embedded files"...), ""},
		{"program with a dynamic linker", ELF{Interpreter: "/lib64/ld-linux-x86-64.so.2\x00"}.Bytes(), `needs the dynamic linker "/lib64/ld-linux-x86-64.so.2"`},
		{"library", ELF{Type: 3, NoEntry: true}.Bytes(), "is no program, but a library"},
		{"program that loads nothing", ELF{Load: 2}.Bytes(), "is no program, but a library"},
		{"object file", ELF{Type: 1}.Bytes(), "object file"},
		{"program of 32 bit", ELF{Class: 1}.Bytes(), "of 32 bit"},
		{"program of another byte order", ELF{Order: 2}.Bytes(), "another byte order"},
		{"program for FreeBSD", ELF{OS: 9}.Bytes(), "another operating system"},
		{"program for RISC-V", ELF{Machine: 243}.Bytes(), "another processor"},
		{"program for Windows", []byte("MZ\x90\x00"), "a program for Windows"},
		{"program with too many headers", ELF{Segments: 60000}.Bytes(), "its headers are not those of one"},
		{"program whose headers lead nowhere", far, "its headers are not those of one"},
		{"program cut short", whole[:len(whole)/2], "ends in the middle"},
		{"program cut short in its header", whole[:40], "ends in the middle"},
		{"program cut short in its program headers", whole[:100], "ends in the middle"},
		{"magic of a program alone", whole[:4], "ends in the middle"},
		{"program too large", ELF{Text: random(MaxBytes)}.Bytes(), "more than the 102400 bytes"},
	}
}

// random returns text that does not compress away, the same each time.
func random(n int) string {
	text, state := make([]byte, n), uint32(1)
	for i := range text {
		state = state*1664525 + 1013904223
		text[i] = byte(state>>24) | 1 // no zeros
	}
	return string(text)
}
