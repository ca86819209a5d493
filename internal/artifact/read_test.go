package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

func limits() artifact.Limits { return artifact.Limits{Bytes: artifacttest.MaxBytes} }

func TestCheck(t *testing.T) {
	for _, c := range artifacttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			_, err := artifact.Check(t.Context(), bytes.NewReader(c.Content), limits())
			if c.Want == "" {
				if err != nil {
					t.Errorf("a good artifact is refused: %v", err)
				}
				return
			}
			bad, ok := errors.AsType[*artifact.Error](err)
			if !ok || !strings.Contains(bad.Error(), c.Want) {
				t.Errorf("it ends with %v, want an artifact.Error that says %q", err, c.Want)
			}
			if text := err.Error(); len(text) > 700 || strings.Contains(text, "\n") || !utf8.ValidString(text) {
				t.Errorf("the text is not one to be shown: %q", text)
			}
		})
	}
}

func TestCheckCounts(t *testing.T) {
	content := artifacttest.Pack(artifacttest.Dir("./"), artifacttest.File("a/b", "four"), artifacttest.Hard("c", "a/b"))
	found, err := artifact.Check(t.Context(), bytes.NewReader(content), limits())
	if want := (artifact.Summary{Bytes: 4, Entries: 3}); err != nil || found != want {
		t.Errorf("found %+v, %v, want %+v", found, err, want)
	}
}

func TestLimitOfEntries(t *testing.T) {
	_, err := artifact.Check(t.Context(), bytes.NewReader(artifacttest.TooMany(6)), artifact.Limits{Bytes: 1, Entries: 6})
	if err == nil || !strings.Contains(err.Error(), "has more than 6 entries") {
		t.Errorf("one entry too many: %v", err)
	}
	if _, err := artifact.Check(t.Context(), bytes.NewReader(artifacttest.TooMany(5)), artifact.Limits{Bytes: 1, Entries: 6}); err != nil {
		t.Errorf("as many as are allowed: %v", err)
	}
}

func TestLimitOfNames(t *testing.T) {
	var entries []artifacttest.Entry
	long := strings.Repeat(strings.Repeat("d", 250)+"/", 15)
	for i := range artifact.MaxNames/len(long) + 1 {
		entries = append(entries, artifacttest.File(fmt.Sprintf("%s%06d", long, i), ""))
	}
	_, err := artifact.Check(t.Context(), bytes.NewReader(artifacttest.Pack(entries...)), limits())
	if err == nil || !strings.Contains(err.Error(), "use shorter paths") {
		t.Errorf("names without an end: %v", err)
	}
}

// What is read after the entries is bounded too.
func TestLimitOfWhatIsNoEntry(t *testing.T) {
	bomb := artifacttest.Gzip(append(artifacttest.Tar(artifacttest.File("a", "x")), make([]byte, 4<<20)...))
	_, err := artifact.Check(t.Context(), bytes.NewReader(bomb), artifact.Limits{Bytes: 1, Entries: 1})
	if err == nil || !strings.Contains(err.Error(), "far more than it may") {
		t.Errorf("zeros without an end: %v", err)
	}
}

func TestAReaderThatFailsIsNoFaultOfTheArtifact(t *testing.T) {
	whole, broken := artifacttest.Pack(artifacttest.File("a", "x")), errors.New("input/output error")
	for at := range len(whole) + 1 {
		r := io.MultiReader(bytes.NewReader(whole[:at]), iotest.ErrReader(broken))
		_, err := artifact.Check(t.Context(), r, limits())
		if _, bad := errors.AsType[*artifact.Error](err); bad || !errors.Is(err, broken) {
			t.Errorf("failing at byte %d it ends with %v", at, err)
		}
	}
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if _, err := artifact.Check(stopped, bytes.NewReader(whole), limits()); !errors.Is(err, broken) {
		t.Errorf("stopped, it ends with %v", err)
	}
}

// A truncated artifact is refused wherever it was cut.
func TestEveryCutIsFound(t *testing.T) {
	whole := artifacttest.Pack(artifacttest.File("a", "x"), artifacttest.Link("b", "a"))
	for at := range len(whole) {
		_, err := artifact.Check(t.Context(), bytes.NewReader(whole[:at]), limits())
		if _, bad := errors.AsType[*artifact.Error](err); !bad {
			t.Errorf("cut at byte %d of %d it ends with %v", at, len(whole), err)
		}
	}
}

func TestASinkThatFailsEndsTheReading(t *testing.T) {
	full := errors.New("no space left on device")
	_, err := artifact.Read(t.Context(), bytes.NewReader(artifacttest.Pack(artifacttest.File("a", "x"))), limits(), sink{full})
	if _, bad := errors.AsType[*artifact.Error](err); bad || !errors.Is(err, full) {
		t.Errorf("it ends with %v", err)
	}
}

// sink fails with its error.
type sink struct{ err error }

func (s sink) Dir(string) error                        { return s.err }
func (s sink) File(_ artifact.File, _ io.Reader) error { return s.err }
func (s sink) Symlink(_, _ string) error               { return s.err }
func (s sink) HardLink(_, _ string) error              { return s.err }

func TestIsInterpreter(t *testing.T) {
	for target, want := range map[string]bool{
		"/usr/bin/python3": true, "/usr/bin/python3.13": true, "/usr/bin/python": false, "/usr/bin/python3.x": false,
		"/usr/bin/python3-config": false, "/usr/local/bin/python3": false, "/usr/bin/python3/": false, "python3": false,
	} {
		if artifact.IsInterpreter(target) != want {
			t.Errorf("%s is an interpreter: %v", target, !want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range artifacttest.Cases() {
		f.Add(c.Content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := artifact.Check(t.Context(), bytes.NewReader(content), artifact.Limits{Bytes: 1 << 16, Entries: 50})
		if err == nil && (found.Bytes > 1<<16 || found.Entries > 50 || found.Entries == 0) {
			t.Errorf("beyond its limits: %+v", found)
		}
		if _, bad := errors.AsType[*artifact.Error](err); err != nil && !bad {
			t.Errorf("content alone made %v", err)
		}
	})
}

// Of each format.
func TestEveryCutIsFoundInEachFormat(t *testing.T) {
	for name, whole := range map[string][]byte{
		"zstd":    artifacttest.PackZstd(artifacttest.File("a", "x"), artifacttest.Link("b", "a")),
		"program": artifacttest.ELF{Text: "text"}.Bytes(),
	} {
		for at := range len(whole) {
			_, err := artifact.Check(t.Context(), bytes.NewReader(whole[:at]), limits())
			if _, bad := errors.AsType[*artifact.Error](err); !bad {
				t.Errorf("%s cut at byte %d of %d ends with %v", name, at, len(whole), err)
			}
		}
	}
}

func TestAReaderThatFailsIsNoFaultOfAnyFormat(t *testing.T) {
	broken := errors.New("input/output error")
	for name, whole := range map[string][]byte{
		"zstd":    artifacttest.PackZstd(artifacttest.File("a", "x")),
		"program": artifacttest.ELF{Text: "text"}.Bytes(),
	} {
		for at := range len(whole) + 1 {
			r := io.MultiReader(bytes.NewReader(whole[:at]), iotest.ErrReader(broken))
			_, err := artifact.Check(t.Context(), r, limits())
			if _, bad := errors.AsType[*artifact.Error](err); bad || !errors.Is(err, broken) {
				t.Errorf("%s failing at byte %d ends with %v", name, at, err)
			}
		}
	}
}

// A program becomes the file that the guide names, of root's only mode.
func TestProgramBecomesAFile(t *testing.T) {
	whole := artifacttest.ELF{Text: "text"}.Bytes()
	var to files
	found, err := artifact.Read(t.Context(), bytes.NewReader(whole), limits(), &to)
	if want := (artifact.Summary{Bytes: int64(len(whole)), Entries: 1}); err != nil || found != want {
		t.Errorf("found %+v, %v, want %+v", found, err, want)
	}
	if len(to) != 1 || to[0].Path != "app" || to[0].Mode != 0o755 || to[0].Modified.Unix() != 0 {
		t.Errorf("its files are %+v", to)
	}
}

// files is a sink that notes files.
type files []artifact.File

func (f *files) Dir(string) error           { return nil }
func (f *files) Symlink(_, _ string) error  { return nil }
func (f *files) HardLink(_, _ string) error { return nil }
func (f *files) File(file artifact.File, _ io.Reader) error {
	*f = append(*f, file)
	return nil
}

// zstd packs a thousand zeros into a byte: what it takes is bounded by what is
// read, and the memory by the window.
func TestBombOfZstd(t *testing.T) {
	bomb := artifacttest.Zstd(append(artifacttest.Tar(artifacttest.File("a", "x")), make([]byte, 256<<20)...), 8<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := artifact.Check(t.Context(), bytes.NewReader(bomb), artifact.Limits{Bytes: 1, Entries: 1})
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "far more than it may") {
		t.Errorf("zeros without an end: %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("it took %d MiB for a window of 8 MiB", took>>20)
	}
}
