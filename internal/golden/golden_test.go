package golden_test

import (
	"os"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// recorder notes what would have been reported to a test.
type recorder struct {
	testing.TB
	shown []string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.shown = append(r.shown, format) }

func (r *recorder) Fatalf(format string, _ ...any) {
	r.shown = append(r.shown, format)
	panic(r)
}

func TestCompare(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/approved.txt", []byte("as it was"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file, got string
		fails           bool
	}{
		{"what was approved", "approved.txt", "as it was", false},
		{"something else", "approved.txt", "as it is", true},
		{"nothing", "approved.txt", "", true},
		{"no such file", "missing.txt", "as it was", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{TB: t}
			func() {
				defer func() {
					if shown := recover(); shown != nil && shown != any(r) {
						panic(shown)
					}
				}()
				golden.Compare(r, test.file, test.got)
			}()
			if failed := len(r.shown) > 0; failed != test.fails {
				t.Errorf("fails: %v, want %v (%q)", failed, test.fails, r.shown)
			}
		})
	}
}
