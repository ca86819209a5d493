package agent

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestAFullDiskIsACondition(t *testing.T) {
	const gib = 1 << 30
	root := t.TempDir()
	for _, dir := range []string{"/var/lib/foobar", "/var/lib/foobar-db/main", "/var/log/journal", "/run/foobar-app-shop-blue"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "/run/foobar-app-shop-blue/filled"), make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for app, size := range map[string]int{"shop": 5 << 20, "blog": 1 << 20} {
		dir := filepath.Join(root, "/var/lib/foobar-app", app)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "data"), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const refused = "refuses uploads" // is said of the agent's file system alone
	for name, test := range map[string]struct {
		disks map[string]host.Room // by directory; the others have room
		want  []string             // type, severity and words, one line for each condition
	}{
		"room everywhere": {},
		"the agent's is nearly full": {
			map[string]host.Room{"/var/lib/foobar": {ID: "a", Size: 100 * gib, Free: 512<<20 - 1}},
			[]string{"DiskNearlyFull warning /var/lib/foobar has 511 MiB free of 102400 MiB"},
		},
		"just enough": {map[string]host.Room{"/var/lib/foobar": {ID: "a", Size: 100 * gib, Free: 512 << 20}}, nil},
		"a small one": {map[string]host.Room{"/var/lib/foobar": {ID: "a", Size: 64 << 20, Free: 4 << 20}}, nil},
		"a small one that is nearly full": {
			map[string]host.Room{"/var/log/journal": {ID: "a", Size: 64 << 20, Free: 3 << 20}},
			[]string{"DiskNearlyFull warning /var/log/journal the log journalctl --vacuum-size"},
		},
		"the database's is full": {
			map[string]host.Room{"/var/lib/foobar-db/main": {ID: "a", Size: 10 * gib, Free: 1 << 20}},
			[]string{"DiskFull error /var/lib/foobar-db/main a database's data has 1 MiB free of 10240 MiB stops the database's writes"},
		},
		"full of files": {
			map[string]host.Room{"/var/lib/foobar": {ID: "a", Size: gib, Free: gib / 2, FilesInAll: 1000, FilesUnused: 9}},
			[]string{"DiskFull error room for 9 more files of 1000"},
		},
		"full of files, a tiny one": {
			map[string]host.Room{"/var/lib/foobar": {ID: "a", Size: gib, Free: gib / 2, FilesInAll: 50}},
			[]string{"DiskFull error has room for 0 more files of 50, and 512 MiB free"},
		},
		"the runtime directory is full": {
			map[string]host.Room{"/run": {ID: "a", Size: 100 << 20, InMemory: true}},
			[]string{"DiskFull error /run largest /run/foobar-app-shop-blue, 3 MiB stops every change stop and start"},
		},
		"an app filled it": {
			map[string]host.Room{"/var/lib/foobar-db/main": {ID: "a", Size: gib}, "/var/lib/foobar-app/shop": {ID: "a", Size: gib}, "/var/lib/foobar-app/blog": {ID: "a", Size: gib}},
			[]string{"DiskFull error /var/lib/foobar-db/main /var/lib/foobar-app/shop (an app's data) stops the database's writes fails the app's writes The largest directory there is /var/lib/foobar-app/shop, with 5 MiB delete data, delete what the app no longer needs, or"},
		},
		"one for all": {
			map[string]host.Room{
				"/var/lib/foobar": {ID: "a", Size: gib}, "/var/lib/foobar-db/main": {ID: "a", Size: gib}, "/var/log/journal": {ID: "a", Size: gib},
			},
			[]string{"DiskFull error /var/lib/foobar /var/lib/foobar-db/main /var/log/journal has 0 MiB free below that the agent refuses uploads, a full one stops the database's writes, a full one loses log lines."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			look := func(dir string) (host.Room, error) {
				if disk, ok := test.disks[strings.TrimPrefix(dir, root)]; ok {
					return disk, nil
				}
				return host.Room{ID: dir, Size: gib, Free: gib, FilesInAll: 100, FilesUnused: 100}, nil
			}
			got := diskConditions(t.Context(), root, watched("/var/lib/foobar"), look, &host.Usages{})
			if len(got) != len(test.want) {
				t.Fatalf("the conditions are %+v", got)
			}
			for i, want := range test.want {
				line := got[i].Type + " " + string(got[i].Severity) + " " + got[i].Message
				if agents := strings.Contains(line, "/var/lib/foobar ("); strings.Contains(line, refused) != agents {
					t.Errorf("what fails without room: %s", line)
				}
				if disk := !strings.Contains(line, "/run ("); strings.Contains(line, "larger disk") != disk {
					t.Errorf("a larger disk helps: %t, but: %s", disk, line)
				}
				for word := range strings.FieldsSeq(want) {
					if !strings.Contains(line, word) {
						t.Errorf("no %q in %s", word, line)
					}
				}
			}
		})
	}
}

func TestTheDiskOfARealDirectory(t *testing.T) {
	disk, err := host.RoomOf(t.TempDir())
	if err != nil || disk.Size == 0 || disk.Free > disk.Size || disk.ID == "" {
		t.Errorf("it is %+v, %v", disk, err)
	}
	if got := diskConditions(t.Context(), "", []Watched{{Pattern: "/proc/none"}}, host.RoomOf, &host.Usages{}); got != nil {
		t.Errorf("a directory that is not there: %+v", got)
	}
}

// replications is a machine's without a replication.
type replications struct{ Replications }

func (replications) Conditions(context.Context) []api.Condition { return nil }

// A disk that does not answer holds up whoever asks, and not the agent.
func TestNothingWaitsForADisk(t *testing.T) {
	log, err := audit.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	blobs, err := blob.Open(t.TempDir(), blob.DefaultQuota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := operation.New(operation.Config{
		Dir: t.TempDir(), Engine: &converge.Engine{Dir: t.TempDir()}, Blobs: blobs, Clock: time.Now, Logger: hclog.NewNullLogger(), Ctx: t.Context(),
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{config: Config{State: t.TempDir(), Replications: replications{}}, runner: runner, audit: log, refused: log}
	looked := false
	a.look = func(string) (host.Room, error) {
		looked = true
		if !a.mu.TryLock() {
			t.Fatal("the agent's lock is held while a disk is asked")
		}
		a.mu.Unlock()
		return host.Room{}, os.ErrNotExist
	}
	a.present(t.Context())
	if !looked {
		t.Error("no disk was asked")
	}
}
