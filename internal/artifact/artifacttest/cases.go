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
	return slices.Concat(good(), names(), links(), kinds(), limits(), damaged())
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
		{"name that is not UTF-8", Pack(Raw("caf\xe9")), "is not UTF-8"},
		{"name of 256 bytes", Pack(File(strings.Repeat("n", 256), "x")), "part of 256 bytes"},
		{"path too long", Pack(File(strings.Repeat(strings.Repeat("d", 99)+"/", 40)+"f", "x")), "at most 3840 are allowed"},
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
		{"text", []byte("hello"), "is not a gzipped tar file; pack"},
		{"zip file", []byte("PK\x03\x04rest"), "is a zip file"},
		{"zstd", []byte("\x28\xb5\x2f\xfdrest"), "compressed with zstd"},
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

// random returns text that does not compress away, the same each time.
func random(n int) string {
	text, state := make([]byte, n), uint32(1)
	for i := range text {
		state = state*1664525 + 1013904223
		text[i] = byte(state>>24) | 1 // no zeros
	}
	return string(text)
}
