package identity

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"deployment":"shop","node":"web1","incarnation":1,"listen":":9443","key":"","chain":[],"ca":[]}`))
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseRecord(data)
		if err != nil {
			return
		}
		if again, err := parseRecord(s.record()); err != nil || !again.leaf().Equal(s.leaf()) {
			t.Errorf("%s does not survive a round trip: %v", data, err)
		}
	})
}

// TestADamagedRecordIsNoMissingOne: a machine must not be taken for one that
// anybody may enrol again.
func TestADamagedRecordIsNoMissingOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity.json")
	if s, err := readRecord(path); s != nil || err != nil {
		t.Errorf("none is %v, %v", s, err)
	}
	for name, damage := range map[string]func() error{
		"empty":       func() error { return os.WriteFile(path, nil, 0o600) },
		"truncated":   func() error { return os.WriteFile(path, []byte(`{"v":1,"depl`), 0o600) },
		"from later":  func() error { return os.WriteFile(path, []byte(`{"v":99}`), 0o600) },
		"a directory": func() error { return os.Mkdir(path, 0o700) },
		"a pipe":      func() error { return syscall.Mkfifo(path, 0o600) },
		"a link":      func() error { return os.Symlink("/nowhere", path) },
	} {
		if err := errors.Join(os.RemoveAll(path), damage()); err != nil {
			t.Fatal(err)
		}
		if s, err := readRecord(path); s != nil || err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
