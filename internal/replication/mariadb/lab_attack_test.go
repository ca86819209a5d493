//go:build lab

package mariadb_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// attack puts links to a victim in the place of whatever it may, all the time: of
// the directories of a seed where the first argument is "outer", of what is in
// them where it is "inner". It runs as the server's user, and prints once for each
// path that it "swapped" it, or was "refused" although the path was there.
const attack = `
import os, stat, sys
where, data, victim = sys.argv[1:4]
names = {
    "outer": [(data + s, victim) for s in (".seed", ".old", "")] + [(data + ".seeding.tmp", victim + "/secret"), (data + ".seeding", victim + "/secret")],
    "inner": [(data + ".seed/" + n, victim + "/secret") for n in ("foobar-seed.json.tmp", "foobar-seed.json", "mariadb_backup_binlog_info", "mariadb_backup_info", "ib_logfile0.x")]
             + [(data + ".seed/" + n, victim) for n in ("mysql", "shop", "sys")],
}[where]
def say(what, path, said=set()):
    if (what, path) not in said:
        said.add((what, path))
        print(what, path, flush=True)
print("ready", flush=True)
n = 0
while True:
    for path, target in names:
        try:
            if where == "outer" and not os.path.lexists(path):
                continue
            if os.path.lexists(path):
                if stat.S_ISLNK(os.lstat(path).st_mode):
                    continue
                n += 1
                os.rename(path, "%s.%d" % (path, n))
            os.symlink(target, path)
            say("swapped", path)
        except PermissionError:
            say("refused", path)
        except OSError:
            pass
`

// victim is a directory of root's with a secret. Its look is everything that an
// attacker could have changed of it.
func victim(t *testing.T) (dir string, look func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "foobar-victim-") //nolint:usetesting // where the server's user can lead somebody to it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755)) //nolint:gosec // anybody may know that it is there
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte(secretOfRoot), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "inner"), 0o700))
	return dir, func() string {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "find "+dir+" -printf '%P %U:%G %m %s\\n' | sort; cat "+dir+"/secret").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
}

const secretOfRoot = "what only root may read, 8f1c0a7e"

// attacked runs the attack until the function that it returns is called, which
// returns what the attack said.
func attacked(t *testing.T, where, data, victim string) (stop func() string) {
	t.Helper()
	account, err := foreign.Lookup("mysql")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := account.Command(ctx, "python3", "-c", attack, where, data, victim)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	said := bufio.NewReader(out)
	if _, err := said.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() string {
		cancel()
		rest, _ := io.ReadAll(said) // it is killed in the middle of anything
		_ = cmd.Wait()
		return string(rest)
	}
}

// The server's user turns nothing of root's into its own during a seed, and reads
// nothing of root's, whatever it puts in the place of its files.
func TestSeedUnderAttack(t *testing.T) {
	source, replica := claimed(t)
	ctx := t.Context()
	must(t, source.Exec(ctx, "CREATE TABLE shop.notes (id INT PRIMARY KEY) ENGINE=InnoDB"))
	data, err := replica.Query(ctx, "SELECT TRIM(TRAILING '/' FROM @@datadir)")
	must(t, err)
	at, look := victim(t)
	before := look()
	for _, where := range []string{"outer", "inner", "inner"} {
		stop := attacked(t, where, data, at)
		err := seed(ctx, replica, source)
		said := stop()
		t.Logf("%s: the seed ended with %v, the attack with\n%s", where, err, said)
		// Around the directories of a seed it may swap nothing; inside there are only
		// files of a seed that runs, so that what it swaps it swaps during one.
		if swapped := strings.Contains(said, "swapped "); swapped != (where == "inner") {
			t.Errorf("%s: the attack swapped something: %t", where, swapped)
		}
		if where == "outer" && (err != nil || !strings.Contains(said, "refused "+data+".seed\n")) {
			t.Errorf("it was not there during the seed, or can even stop one by that: %v", err)
		}
		if err == nil { // who says so has the source's data
			_, err := replica.Query(ctx, "SELECT COUNT(*) FROM shop.notes")
			must(t, err)
		}
		if after := look(); after != before {
			t.Fatalf("%s: root's directory was\n%s\nand is\n%s\n%v", where, before, after, err)
		}
	}
	must(t, seed(ctx, replica, source))
}

// A copy holds nothing that the server's user could not read itself.
func TestCopyUnderAttack(t *testing.T) {
	source, _ := claimed(t)
	ctx := t.Context()
	at, _ := victim(t)
	data, err := source.Query(ctx, "SELECT TRIM(TRAILING '/' FROM @@datadir)")
	must(t, err)
	account, err := foreign.Lookup("mysql")
	must(t, err)
	for _, suffix := range []string{"MYD", "frm"} {
		link := filepath.Join(data, "shop", "leak."+suffix)
		must(t, account.Command(ctx, "ln", "-s", filepath.Join(at, "secret"), link).Run())
		stream := donated(ctx, source)
		var copied bytes.Buffer
		_, err := io.Copy(&copied, stream)
		must(t, stream.Close())
		if strings.Contains(copied.String(), secretOfRoot) {
			t.Errorf("%s: the copy holds what only root may read: %v", suffix, err)
		}
		must(t, account.Command(ctx, "rm", link).Run())
	}
	var whole bytes.Buffer
	if _, err := io.Copy(&whole, donated(ctx, source)); err != nil || whole.Len() < 1<<20 {
		t.Error(fmt.Errorf("without links it is %d bytes: %w", whole.Len(), err))
	}
}
