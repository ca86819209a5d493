package converge_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	stateDir   = "/var/lib/foobar"
	recordPath = stateDir + "/components/load-balancer/edge.json"
)

func edge() api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: "edge"} }

// accounts gives everything to the user that runs the test.
type accounts struct{}

func (accounts) Ensure(context.Context, []converge.User) error { return nil }

func (accounts) Lookup(owner, _ string) (int, int, error) {
	if owner == "nobody-knows" {
		return 0, 0, fmt.Errorf("look up the user %s: unknown", owner)
	}
	return os.Getuid(), os.Getgid(), nil
}

// machine is a machine in a directory.
type machine struct {
	root   string
	engine *converge.Engine
	units  *systemdtest.Systemd
	blobs  *blob.Store
}

// open returns the machine in root, as a new life of the agent finds it.
func open(tb testing.TB, root string) *machine {
	tb.Helper()
	if err := os.MkdirAll(filepath.Join(root, stateDir), 0o700); err != nil {
		tb.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(root, stateDir, "blobs"), blob.DefaultQuota, time.Now)
	if err != nil {
		tb.Fatal(err)
	}
	m := &machine{root: root, blobs: blobs, units: systemdtest.New(root, filepath.Join(root, stateDir, "systemd.json"))}
	m.engine = &converge.Engine{
		Root: root, Dir: stateDir + "/transactions",
		Units: m.units, Accounts: accounts{}, Trees: blobs,
	}
	return m
}

// tempDir returns a directory that is gone after the test, in memory if there
// is such a place: these tests wait for little else than the disk.
func tempDir(tb testing.TB) string {
	tb.Helper()
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err != nil || !info.IsDir() {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "foobar-converge-") //nolint:usetesting // which knows no such place
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// copyOf returns a machine that is exactly as m is.
func (m *machine) copyOf(tb testing.TB) *machine {
	tb.Helper()
	root := tempDir(tb)
	copyTree(tb, m.root, root)
	return open(tb, root)
}

func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case path == from:
			return nil
		case d.IsDir():
			return os.Mkdir(target, info.Mode().Perm())
		case d.Type() == fs.ModeSymlink:
			text, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(text, target)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, content, info.Mode().Perm()); err != nil {
			return err
		}
		return os.Chtimes(target, info.ModTime(), info.ModTime())
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func (m *machine) path(p string) string { return filepath.Join(m.root, p) }

// upload stores an archive with the given files and returns its checksum.
func (m *machine) upload(tb testing.TB, files map[string]string) string {
	tb.Helper()
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(1e9, 0)}
		if err := w.WriteHeader(header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		tb.Fatal(err)
	}
	hash := sha256.Sum256(archive.Bytes())
	sum := hex.EncodeToString(hash[:])
	if _, err := m.blobs.Append(tb.Context(), sum, 0, int64(archive.Len()), &archive); err != nil {
		tb.Fatal(err)
	}
	if err := m.blobs.Finish(tb.Context(), sum); err != nil {
		tb.Fatal(err)
	}
	return sum
}

// transaction returns the one that brings a machine from what was applied to a
// state, nil for none.
func (m *machine) transaction(from *converge.Applied, to *converge.State) converge.Transaction {
	book := converge.Book{Path: recordPath}
	if to != nil {
		book.Content = api.Encode(converge.NewApplied(from, *to))
	}
	return converge.Transaction{
		Component: edge(), From: from, To: to, Books: []converge.Book{book},
		Note: api.Encode("a note"), Follow: m.follow(from, to),
	}
}

// follow restarts the units of the state that is gone to.
func (m *machine) follow(from *converge.Applied, to *converge.State) converge.Follow {
	return converge.Follow{Activate: func(ctx context.Context, _ map[string]api.ChangeAction, undo bool) error {
		var wanted []converge.Unit
		switch {
		case undo && from != nil:
			wanted = from.State.Units
		case !undo && to != nil:
			wanted = to.Units
		}
		for _, unit := range wanted {
			if err := m.units.Restart(ctx, unit.Name); err != nil {
				return err
			}
		}
		return nil
	}}
}

// apply carries out a transaction that must succeed.
func (m *machine) apply(tb testing.TB, from *converge.Applied, to *converge.State) *converge.Applied {
	tb.Helper()
	if err := m.engine.Apply(tb.Context(), m.transaction(from, to)); err != nil {
		tb.Fatal(err)
	}
	if to == nil {
		return nil
	}
	applied := converge.NewApplied(from, *to)
	return &applied
}

// recorded reads the record of the component.
func (m *machine) recorded(tb testing.TB) *converge.Applied {
	tb.Helper()
	data, err := os.ReadFile(m.path(recordPath))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	var a converge.Applied
	if err := json.Unmarshal(data, &a); err != nil {
		tb.Fatal(err)
	}
	return &a
}

// snapshot describes all that stands on the machine and runs on it, but for the
// engine's own.
func (m *machine) snapshot(tb testing.TB) map[string]string {
	tb.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.root)
		if strings.HasPrefix(name, "/var") && name != recordPath {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			found[name] = fmt.Sprintf("%v", info.Mode())
		case d.Type() == fs.ModeSymlink:
			found[name], err = os.Readlink(path)
		default:
			var content []byte
			content, err = os.ReadFile(path)
			found[name] = fmt.Sprintf("%v %s", info.Mode(), content)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	running, err := m.units.Running(context.WithoutCancel(tb.Context()))
	if err != nil {
		tb.Fatal(err)
	}
	for unit, text := range running {
		found["running "+unit] = text
	}
	enabled, err := m.units.Enabled(context.WithoutCancel(tb.Context()))
	if err != nil {
		tb.Fatal(err)
	}
	found["enabled"] = strings.Join(enabled, " ")
	return found
}

// different lists what differs between two snapshots.
func different(a, b map[string]string) []string {
	var out []string
	for key := range maps.Keys(a) {
		if a[key] != b[key] {
			out = append(out, fmt.Sprintf("%s: %q, then %q", key, a[key], b[key]))
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			out = append(out, fmt.Sprintf("%s: nothing, then %q", key, b[key]))
		}
	}
	slices.Sort(out)
	return out
}

func same(tb testing.TB, what string, want, got map[string]string) {
	tb.Helper()
	if d := different(want, got); len(d) > 0 {
		tb.Errorf("%s:\n%s", what, strings.Join(d, "\n"))
	}
}

// killed runs f and reports whether it was ended by a hook from [killAt].
func killed(f func()) bool {
	ended := make(chan bool)
	go func() {
		done := false
		defer func() { ended <- !done }()
		f()
		done = true
	}()
	return <-ended
}

// killAt returns a hook that ends its goroutine before the n-th step, as a
// kill would end the process.
func killAt(n int) func(string) error {
	return func(string) error {
		if n--; n < 0 {
			runtime.Goexit()
		}
		return nil
	}
}
