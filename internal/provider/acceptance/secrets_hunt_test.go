//go:build lab

package acceptance

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// hunt looks for secrets, in every form in which a program may print them.
type hunt struct {
	// forms are the texts that give a secret away, by its name.
	forms map[string][]string
}

// add adds a secret of some bytes.
func (h *hunt) add(name string, secret []byte) {
	h.forms[name] = append(h.forms[name], string(secret), hex.EncodeToString(secret),
		base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret))
}

// without returns the hunt for all secrets but those whose names begin so.
func (h *hunt) without(prefix string) *hunt {
	rest := &hunt{forms: maps.Clone(h.forms)}
	maps.DeleteFunc(rest.forms, func(name string, _ []string) bool { return strings.HasPrefix(name, prefix) })
	return rest
}

// in returns the names of the secrets that a text gives away, in order.
func (h *hunt) in(text string) []string {
	var names []string
	for name, forms := range h.forms {
		if slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(text, form) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// canary is the name of what is put everywhere, so that a place where it is
// not found is a place that was not looked at.
const canary = "the canary"

// clean fails the test unless a text holds the canary and nothing else.
func (h *hunt) clean(t *testing.T, place, text string) {
	t.Helper()
	if found := h.in(text); !slices.Equal(found, []string{canary}) {
		t.Errorf("%s: found was %v, not just %s", place, found, canary)
	}
}

// unzipped returns the content of all files of an archive.
func unzipped(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, entry := range archive.File {
		part, err := fs.ReadFile(archive, entry.Name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(part)
	}
	return text.String()
}

// withoutBootstraps returns a JSON document without the resources
// foobar_bootstrap, whose enrolment keys stand in the state by design.
func withoutBootstraps(t *testing.T, document string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(prune(value))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if v["type"] == "foobar_bootstrap" {
			return nil
		}
		for name, member := range v {
			v[name] = prune(member)
		}
	case []any:
		for i, member := range v {
			v[i] = prune(member)
		}
	}
	return value
}

const root, nobody = 0, 65534

// files returns the files on a machine that a user can read and that came to
// be after a moment, by path.
func (s *stack) files(machine string, user int, since time.Time) map[string]string {
	s.t.Helper()
	command := fmt.Sprintf(`cd / && find . \( -path ./proc -o -path ./sys -o -path ./dev \) -prune -o -type f -readable -newerct @%d -print0 2>/dev/null |
tar --create --null --files-from=- --ignore-failed-read --file=- 2>/dev/null || true`, since.Unix())
	archive := s.lab.Exec(machine, "setpriv", fmt.Sprint("--reuid=", user), fmt.Sprint("--regid=", user), "--clear-groups", "sh", "-c", command)
	files := map[string]string{}
	for reader := tar.NewReader(strings.NewReader(archive)); ; {
		entry, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			s.t.Fatalf("read what user %d may read on %s: %v", user, machine, err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			s.t.Fatal(err)
		}
		files[strings.TrimPrefix(entry.Name, ".")] = string(content)
	}
}

// holding returns the files that hold something hunted for, each with what.
func (h *hunt) holding(files map[string]string) map[string][]string {
	holding := map[string][]string{}
	for path, content := range files {
		if found := h.in(content); len(found) > 0 {
			holding[path] = found
		}
	}
	return holding
}

// processes notes the command lines of all processes that there are, those of
// the machines among them, until the function that it returns is called: that
// returns them.
func processes(ctx context.Context) func() string {
	ctx, stop := context.WithCancel(ctx)
	seen := map[string]bool{}
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range paths {
				if line, err := os.ReadFile(path); err == nil { // else it has ended
					seen[string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))] = true
				}
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return func() string {
		stop()
		done.Wait()
		return strings.Join(slices.Collect(maps.Keys(seen)), "\n")
	}
}
