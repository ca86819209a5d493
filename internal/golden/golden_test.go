package golden_test

import (
	"os"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// recorder notes what a test would have been told.
type recorder struct {
	testing.TB
	told []string
}

func (*recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.told = append(r.told, format) }

func (r *recorder) Fatalf(format string, _ ...any) {
	r.told = append(r.told, format)
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
					if told := recover(); told != nil && told != any(r) {
						panic(told)
					}
				}()
				golden.Compare(r, test.file, test.got)
			}()
			if failed := len(r.told) > 0; failed != test.fails {
				t.Errorf("fails: %v, want %v (%q)", failed, test.fails, r.told)
			}
		})
	}
}
