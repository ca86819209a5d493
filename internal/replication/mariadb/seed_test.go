package mariadb

import (
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// A copy that fails gives its room back, and the next one is still allowed.
func TestReceiveDiscardsWhatFailed(t *testing.T) {
	const (
		first   = `{"format": 1, "version": "11.8", "history": "0-1-7"}` + "\n"
		unpack  = "cat >\"$3/ibdata1\"\n"
		whole   = unpack + "touch \"$3/mariadb_backup_checkpoints\" \"$3/mariadb_backup_info\"\nprintf 'binlog.1\\t9\\t0-1-7\\n' >\"$3/mariadb_backup_binlog_info\"\n"
		full    = "echo No space left on device >&2\nexit 1\n"
		nowhere = "exit 0\n"
	)
	cut := errors.New("the donor went away")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		stream           io.Reader
		mbstream, backup string
		says             string
	}{
		"the disk is full while it comes":     {strings.NewReader(first + "data"), unpack + full, nowhere, "No space left"},
		"the stream is cut behind its end":    {io.MultiReader(strings.NewReader(first), iotest.ErrReader(cut)), "echo >\"$3/ibdata1\"\n", nowhere, cut.Error()},
		"the stream ends early":               {strings.NewReader(first + "data"), unpack, nowhere, "ended early"},
		"the disk is full while it is made":   {strings.NewReader(first + "data"), whole, full, "No space left"},
		"the server's user is not there":      {strings.NewReader(first + "data"), whole, nowhere, "nobody-of-that-name"},
		"a former one is left, and no stream": {strings.NewReader(""), nowhere, nowhere, "first line"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for program, script := range map[string]string{"mbstream": test.mbstream, "mariadb-backup": test.backup} {
				if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"+script), 0o755); err != nil { //nolint:gosec // it is run
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			owner := me.Username
			if strings.Contains(name, "user is not there") {
				owner = "nobody-of-that-name"
			}
			e := &Engine{Config: Config{DataDir: filepath.Join(dir, "data"), Owner: owner, Now: time.Now}}
			former := filepath.Join(dir, "data"+stageSuffix, "mysql")
			if err := os.MkdirAll(former, 0o700); err != nil {
				t.Fatal(err)
			}
			err := e.Receive(t.Context(), "web1", test.stream, nil)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it ended with %v, want %q", err, test.says)
			}
			if _, err := os.Stat(filepath.Dir(former)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the stage is left: %v", err)
			}
			if mark, err := e.SeedState(); err != nil || mark == nil || mark.Donor != replication.NodeID("web1") || mark.Placed {
				t.Errorf("the mark is %+v, %v", mark, err)
			}
			if incomplete, err := e.ResumeSeed(t.Context()); err != nil || !incomplete {
				t.Errorf("the next copy is not allowed: %v, %v", incomplete, err)
			}
		})
	}
}
