package foreign

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stand is a directory that another account could write to, with what it may put
// there, and a secret of root's outside.
func stand(t *testing.T) (dir, secret string) {
	t.Helper()
	dir, outside := filepath.Join(t.TempDir(), "theirs"), t.TempDir()
	secret = filepath.Join(outside, "secret")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	must(t, os.Symlink(secret, filepath.Join(dir, "link")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	return dir, secret
}

func TestReadFile(t *testing.T) {
	dir, _ := stand(t)
	if got, err := ReadFile(dir, "file", 7); err != nil || string(got) != "content" {
		t.Errorf("it is %q, %v", got, err)
	}
	if _, err := ReadFile(dir, "missing", 7); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	must(t, os.Symlink(dir, dir+".link"))
	for name, read := range map[string]func() ([]byte, error){
		"a link":                  func() ([]byte, error) { return ReadFile(dir, "link", 7) },
		"a pipe without an end":   func() ([]byte, error) { return ReadFile(dir, "pipe", 7) },
		"a directory":             func() ([]byte, error) { return ReadFile(dir, "directory", 7) },
		"more than is allowed":    func() ([]byte, error) { return ReadFile(dir, "file", 6) },
		"a link for the whole":    func() ([]byte, error) { return ReadFile(dir+".link", "file", 7) },
		"a path that is relative": func() ([]byte, error) { return ReadFile("theirs", "file", 7) },
	} {
		if got, err := read(); err == nil {
			t.Errorf("%s was read: %q", name, got)
		}
	}
}

func TestExistsAndRemove(t *testing.T) {
	dir, secret := stand(t)
	for name, want := range map[string]bool{"file": true, "link": false, "pipe": false, "directory": false, "missing": false} {
		if got, err := Exists(dir, name); err != nil || got != want {
			t.Errorf("%s exists: %t, %v", name, got, err)
		}
	}
	if got, err := Exists(dir+".missing", "file"); err != nil || got {
		t.Errorf("in no directory it exists: %t, %v", got, err)
	}
	for _, name := range []string{"file", "link", "pipe", "missing"} {
		if err := Remove(dir, name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
	}
	if err := Remove(dir+".missing", "file"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(secret); err != nil {
		t.Errorf("what the link led to is gone: %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	dir, secret := stand(t)
	must(t, os.Symlink(secret, filepath.Join(dir, "new.tmp")))
	for _, name := range []string{"new", "link", "file"} {
		must(t, WriteFile(dir, name, []byte("note")))
		if got, err := ReadFile(dir, name, 9); err != nil || string(got) != "note" {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
		t.Errorf("what the link led to is %q, %v", got, err)
	}
}

func TestMake(t *testing.T) {
	dir, _ := stand(t)
	outside := t.TempDir()
	must(t, os.Chmod(outside, 0o711)) //nolint:gosec // to see that it stays
	for range 2 {
		must(t, Make(filepath.Join(dir, "made"), Root(), 0o710))
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "elsewhere")))
	for _, name := range []string{"elsewhere", "file", "pipe"} {
		if err := Make(filepath.Join(dir, name), Root(), 0o700); err == nil {
			t.Errorf("%s was made a directory", name)
		}
	}
	for path, want := range map[string]fs.FileMode{filepath.Join(dir, "made"): 0o710, outside: 0o711} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestTrusted(t *testing.T) {
	dir, _ := stand(t)
	if err := Trusted(dir); err != nil {
		t.Fatal(err)
	}
	must(t, os.Symlink(dir, dir+".link"))
	open := filepath.Join(dir, "directory")
	must(t, os.Chmod(open, 0o777)) //nolint:gosec // that is the case
	must(t, os.Mkdir(filepath.Join(open, "below"), 0o700))
	for path, says := range map[string]string{
		dir + ".link":                "is a link",
		dir + ".link/directory":      "is a link",
		open:                         "chmod go-w " + open,
		filepath.Join(open, "below"): "chmod go-w " + open,
		filepath.Join(dir, "file"):   "is no directory",
		"theirs":                     "no absolute path",
	} {
		if err := Trusted(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
	must(t, os.Chmod(open, 0o777|fs.ModeSticky)) //nolint:gosec // as /tmp
	if err := Trusted(filepath.Join(open, "below")); err != nil {
		t.Error(err)
	}
}

// A socket of root's must not be reached by a link in an account's directory.
func TestDial(t *testing.T) {
	dir, _ := stand(t)
	outside := filepath.Join(t.TempDir(), "root.sock")
	for _, path := range []string{outside, filepath.Join(dir, "app.sock")} {
		listener, err := net.Listen("unix", path)
		must(t, err)
		defer listener.Close() //nolint:errcheck // a test's
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "link.sock")))
	conn, err := Dial(t.Context(), filepath.Join(dir, "app.sock"))
	must(t, err)
	must(t, conn.Close())
	for _, name := range []string{"link.sock", "file", "pipe", "missing"} {
		if conn, err := Dial(t.Context(), filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was dialled", name)
			_ = conn.Close()
		} else if !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("the error does not name it: %v", err)
		}
	}
}

// Whose socket is looked at must not be the choice of the account that has the directory.
func TestSocket(t *testing.T) {
	dir, _ := stand(t)
	outside := filepath.Join(t.TempDir(), "root.sock")
	for _, path := range []string{outside, filepath.Join(dir, "app.sock")} {
		listener, err := net.Listen("unix", path)
		must(t, err)
		defer listener.Close() //nolint:errcheck // a test's
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "link.sock")))
	must(t, os.Symlink("circle.sock", filepath.Join(dir, "circle.sock")))
	var want syscall.Stat_t
	must(t, syscall.Stat(filepath.Join(dir, "app.sock"), &want))
	if inode, device, err := Socket(filepath.Join(dir, "app.sock")); err != nil || inode != want.Ino || device != want.Dev {
		t.Errorf("it is %d of %d, %v", inode, device, err)
	}
	for name, missing := range map[string]bool{"missing": true, "../missing/app.sock": true, "link.sock": false, "circle.sock": false, "file": false, "pipe": false} {
		if _, _, err := Socket(filepath.Join(dir, name)); err == nil || errors.Is(err, fs.ErrNotExist) != missing {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program learns nothing of what the agent was started with.
func TestCommandHasAnEnvironmentOfItsOwn(t *testing.T) {
	for _, name := range []string{"FOOBAR_LOG", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "LD_PRELOAD", "HOME"} {
		t.Setenv(name, "/of/the/agent")
	}
	out, err := Root().Command(t.Context(), "/usr/bin/env").Output()
	must(t, err)
	if strings.Contains(string(out), "/of/the/agent") || !strings.Contains(string(out), "PATH=/usr/") {
		t.Errorf("its environment:\n%s", out)
	}
}

// What a program has started ends with it, unless it has left its process group.
func TestCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd := Root().Command(ctx, "sh", "-c", "sleep 600 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(line))
	must(t, err)
	if !runs(child) {
		t.Fatalf("its child %d does not run", child)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("it was not ended")
	}
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	for runs(child) {
		if waiting.Err() != nil {
			must(t, syscall.Kill(child, syscall.SIGKILL))
			t.Fatalf("its child %d runs on", child)
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := Lookup("nobody-of-that-name"); err == nil {
		t.Error("an account was found that is not there")
	}
}

// runs reports whether a process runs. One that has ended may stay in the list as a
// zombie, until the machine's init takes note of it.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}
