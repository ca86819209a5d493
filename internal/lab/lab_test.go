//go:build lab

package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab"
	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

// testEnv names the lab of these tests, which runs beside any other.
const testEnv = "FOOBAR_LAB_NAME=labtest"

// build makes the lab program as a user has it: bin/lab beside images/.
func build(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "lab")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./internal/cmd/lab")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the lab: %v\n%s", err, out)
	}
	t.Setenv("FOOBAR_LAB_IMAGES", filepath.Join(root, "images"))
	t.Setenv("FOOBAR_LAB_STATE", t.TempDir())
	return program
}

// TestLab tells the life of a lab in order: booting is what costs.
func TestLab(t *testing.T) {
	program := build(t)
	l := labtest.At(t, program, testEnv)
	l.Do("down")
	before := observeHost(t)
	t.Cleanup(func() {
		if _, err := l.Try(context.WithoutCancel(t.Context()), "down"); err != nil {
			t.Error(err)
		}
	})
	l.Do("up", "-no-agent", "lb1=203.0.113.10,10.0.0.10", "web1=10.0.0.1", "web2=10.0.0.2")

	t.Run("machines run every service and have every engine", func(t *testing.T) { testImage(t, program) })
	t.Run("nothing leads out and nothing leads in", func(t *testing.T) { testIsolation(t, program) })
	t.Run("sites reach what they should", func(t *testing.T) { testSites(t, program) })
	t.Run("power", func(t *testing.T) { testPower(t, program) })
	t.Run("partition", func(t *testing.T) { testPartition(t, program) })
	t.Run("the lab is driven from inside", func(t *testing.T) { testFromInside(t, program) })
	t.Run("up again changes nothing", func(t *testing.T) { testUpAgain(t, program) })
	t.Run("a killed supervisor is replaced", func(t *testing.T) { testKilledSupervisor(t, program) })
	t.Run("down leaves the host as it was", func(t *testing.T) {
		l := labtest.At(t, program, testEnv)
		l.Do("down")
		var after hostView
		// Killed processes stay in the table until the host's init has seen them.
		waitUntil(t, func() bool { after = observeHost(t); return len(after.Processes) == 0 })
		if !after.equal(before) {
			t.Errorf("before: %+v\nafter: %+v", before, after)
		}
		l.Do("down")
	})
}

// TestDownEndsAKilledBuild kills the program while it makes an image, which leaves
// a package manager at work and a tree half made.
func TestDownEndsAKilledBuild(t *testing.T) {
	program, cache := build(t), t.TempDir()
	env := []string{testEnv + "-build", "FOOBAR_LAB_CACHE=" + cache}
	l := labtest.At(t, program, env...)
	before := observeHost(t)
	cmd := exec.CommandContext(t.Context(), program, "image", "-no-agent")
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(cache, "partial-labtest-build-base", "var", "lib", "dpkg")
	waitUntil(t, func() bool { _, err := os.Stat(partial); return err == nil })
	if err := errors.Join(cmd.Process.Kill(), ignoreExit(cmd.Wait())); err != nil {
		t.Fatal(err)
	}
	l.Do("down")
	waitUntil(t, func() bool { return observeHost(t).equal(before) })
	if left, err := filepath.Glob(filepath.Join(cache, "partial-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// ignoreExit drops the error that a program was killed.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func testImage(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	for _, machine := range []string{"lb1", "web1", "web2"} {
		if got := strings.TrimSpace(l.Exec(machine, "systemctl", "is-system-running")); got != "running" {
			t.Errorf("%s is %s", machine, got)
		}
	}
	for _, engine := range [][]string{
		{"haproxy", "-v"}, {"nginx", "-V"}, {"keepalived", "-v"}, {"nft", "-v"}, {"rsyslogd", "-v"}, {"curl", "--version"},
		{"mariadbd", "--version"}, {"mariadb-backup", "--version"}, {"/usr/lib/postgresql/17/bin/postgres", "--version"},
		{"python3", "-c", "import fastapi, uvicorn"}, {"uvicorn", "--version"},
		{"getent", "passwd", "haproxy", "www-data", "mysql", "postgres", "keepalived_script"},
		{"nft", "list", "ruleset"},
	} {
		l.Exec("web1", engine...)
	}
	for _, unit := range []string{"haproxy", "nginx", "keepalived", "mariadb", "postgresql", "nftables"} {
		out, _ := l.TryExec("web1", "systemctl", "is-enabled", unit)
		if strings.TrimSpace(out) != "disabled" {
			t.Errorf("unit %s is %q, want disabled", unit, strings.TrimSpace(out))
		}
	}
	testFresh(t, l)
}

// testFresh shows that an image has nothing that must differ between machines, or
// that only its making needed.
func testFresh(t *testing.T, l *labtest.Lab) {
	ids := map[string]bool{}
	for _, machine := range []string{"lb1", "web1", "web2"} {
		ids[l.Exec(machine, "cat", "/etc/machine-id")] = true
	}
	if len(ids) != 3 {
		t.Errorf("machine ids are not unique: %v", ids)
	}
	for _, check := range []string{
		"! test -e /usr/sbin/policy-rc.d", "! ls /var/lib/apt/lists/*", "! ls /etc/ssh/ssh_host_*", "! test -s /etc/resolv.conf",
		"! ls /var/lib/mysql/*", "! ls /etc/postgresql/*/*", "! ls /var/lib/postgresql/*", "! command -v sshd",
		"! ls /etc/ssl/private/*", "! ls /etc/ssl/certs/*snakeoil*", "! ls /etc/shadow- /etc/gshadow-", "! ls /var/lib/systemd/credential.secret",
		"! grep -E '^[^:]+:[^:!*]' /etc/shadow", "! grep -E '^ *password *= *[^ ]' /etc/mysql/debian.cnf",
		// A key that is in an image is one for all its machines, whatever made it.
		"! grep -rlIE -e '-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY' /boot /etc /home /opt /root /srv /usr/lib /usr/local /usr/share /var",
	} {
		l.Exec("web1", "sh", "-c", check)
	}
	info, err := os.Stat(filepath.Join(os.Getenv("FOOBAR_LAB_STATE"), "labtest", "machines", "web1", "bootstrap.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("bootstrap: %v, %v", info, err)
	}
	if out := l.Exec("web1", "systemd-creds", "--system", "list"); !strings.Contains(out, "foobar.bootstrap") {
		t.Errorf("the bootstrap is not among the credentials:\n%s", out)
	}
}

// testIsolation sends nothing from the host: whatever had such an address as its
// destination would leave the machine.
func testIsolation(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	routes := map[string]string{
		"client": l.Client("ip", "-json", "route"),
		"mgmt":   l.Manage("ip", "-json", "route"),
	}
	for _, machine := range []string{"lb1", "web1", "web2"} {
		routes[machine] = l.Exec(machine, "ip", "-json", "route", "show", "table", "all")
	}
	inside := []netip.Prefix{
		lab.Public.Prefix(), lab.Private.Prefix(), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("ff00::/8"), // multicast, which ends at the bridge
	}
	for who, text := range routes {
		for _, dst := range destinations(t, text) {
			if !slices.ContainsFunc(inside, func(p netip.Prefix) bool { return p.Contains(dst.Addr()) && p.Bits() <= dst.Bits() }) {
				t.Errorf("%s has a route to %s", who, dst)
			}
		}
	}
	for _, addr := range hostAddresses(t) {
		if addr.Is4() && !addr.IsLoopback() {
			if out, err := l.TryExec("lb1", "ip", "route", "get", addr.String()); err == nil {
				t.Errorf("lb1 would reach the host's %s: %s", addr, out)
			}
		}
		for _, n := range []lab.Network{lab.Public, lab.Private} {
			if n.Prefix().Contains(addr) {
				t.Errorf("the host has %s, which is in the lab's %s network", addr, n)
			}
		}
	}
	testLoopbackIsNotShared(t, l)
}

// testLoopbackIsNotShared shows that a server on the host's loopback cannot be
// reached from a machine, nor from the sites.
func testLoopbackIsNotShared(t *testing.T, l *labtest.Lab) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	url := "http://" + listener.Addr().String()
	for _, where := range [][]string{{"exec", "lb1", "--"}, {"run", "--"}, {"manage", "--"}} {
		_, err := l.Try(t.Context(), append(where, "curl", "--silent", "--max-time", "5", url)...)
		if got := labtest.ExitStatus(err); got != 7 { // CURLE_COULDNT_CONNECT
			t.Errorf("%v: curl ended with %d, want 7: %v", where, got, err)
		}
	}
}

func testSites(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	serve(t, l, "lb1", "hello from lb1")
	serve(t, l, "web1", "hello from web1")
	if got := l.Client("curl", "--silent", "--max-time", "10", "http://www.foobar.test:8000/"); got != "hello from lb1" {
		t.Errorf("the client got %q", got)
	}
	if got := l.Manage("curl", "--silent", "--max-time", "10", "http://web1:8000/"); got != "hello from web1" {
		t.Errorf("mgmt got %q", got)
	}
	_, err := l.Try(t.Context(), "run", "--", "curl", "--silent", "--max-time", "5", "http://10.0.0.1:8000/")
	if labtest.ExitStatus(err) != 7 {
		t.Errorf("the client reached the private network: %v", err)
	}
	if got := l.Manage("sh", "-c", `test -n "$FOOBAR_CA_SEED" && printf %s "$FOOBAR_LAB"`); got != program {
		t.Errorf("FOOBAR_LAB is %q", got)
	}
	if _, err := l.TryExec("web1", "sh", "-c", "exit 42"); labtest.ExitStatus(err) != 42 {
		t.Errorf("exec does not pass the exit status on: %v", err)
	}
}

// serve starts a web server with one page in a machine and waits until it answers.
func serve(t *testing.T, l *labtest.Lab, machine, page string) {
	t.Helper()
	l.Exec(machine, "sh", "-c", "mkdir -p /run/page && printf %s \"$1\" > /run/page/index.html", "sh", page)
	_, _ = l.TryExec(machine, "systemctl", "stop", "page.service") // of a page before, if there was one
	l.Exec(machine, "systemd-run", "--quiet", "--unit=page", "python3", "-m", "http.server", "--directory", "/run/page", "8000")
	l.Exec(machine, "curl", "--silent", "--retry", "50", "--retry-delay", "1", "--retry-connrefused", "http://127.0.0.1:8000/")
}

func testPower(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	bootID := func() string { return l.Exec("web2", "journalctl", "--list-boots", "--quiet", "--no-pager") }
	l.Exec("web2", "sh", "-c", "echo kept > /root/file; sync; nft add table inet probe")
	last := bootID()
	for _, verb := range []struct {
		name string
		do   func(...string)
	}{{"reboot", l.Reboot}, {"kill", l.Kill}} {
		verb.do("web2")
		if got := l.Exec("web2", "cat", "/root/file"); got != "kept\n" {
			t.Errorf("after %s the file is %q", verb.name, got)
		}
		if now := bootID(); now == last {
			t.Errorf("after %s there is no new boot", verb.name)
		} else {
			last = now
		}
		if got := l.Exec("web2", "nft", "list", "ruleset"); got != "" {
			t.Errorf("after %s nftables still has %q", verb.name, got)
		}
	}
	before := l.Incarnation("web2")
	l.Do("reset", "-no-agent", "web2")
	if _, err := l.TryExec("web2", "cat", "/root/file"); err == nil {
		t.Error("a fresh disk has the old file")
	}
	if got := l.Incarnation("web2"); got != before+1 {
		t.Errorf("incarnation %d after %d", got, before)
	}
	l.Do("reset", "-no-agent", "-same-incarnation", "web2")
	if got := l.Incarnation("web2"); got != before+1 {
		t.Errorf("incarnation %d, want %d kept", got, before+1)
	}
	l.PowerOff("web2")
	if state := l.Status().Machines["web2"].State; state != lab.Off {
		t.Errorf("after poweroff web2 is %s", state)
	}
	if _, err := l.TryExec("web2", "true"); err == nil || !strings.Contains(err.Error(), "lab start web2") {
		t.Errorf("exec in a machine that is off: %v", err)
	}
	l.Start("web2")
	testPause(t, l)
}

func testPause(t *testing.T, l *labtest.Lab) {
	serve(t, l, "web2", "awake")
	fetch := []string{"manage", "--", "curl", "--silent", "--max-time", "2", "http://web2:8000/"}
	l.Pause("web2")
	if _, err := l.Try(t.Context(), fetch...); labtest.ExitStatus(err) != 28 { // CURLE_OPERATION_TIMEDOUT
		t.Errorf("a paused machine answered: %v", err)
	}
	if _, err := l.TryExec("web2", "true"); err == nil || !strings.Contains(err.Error(), "lab resume web2") {
		t.Errorf("exec in a paused machine: %v", err)
	}
	l.Resume("web2")
	if got := l.Do(fetch...); got != "awake" {
		t.Errorf("after resume web2 said %q", got)
	}
	l.Pause("web2")
	l.Kill("web2")
	if state := l.Status().Machines["web2"].State; state != lab.On {
		t.Errorf("a paused machine that lost power is %s", state)
	}
}

func testPartition(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	cutOff := func(from string) bool {
		_, err := l.TryExec(from, "curl", "--silent", "--max-time", "2", "http://10.0.0.1:8000/")
		return err != nil
	}
	if cutOff("lb1") || cutOff("web2") {
		t.Fatal("web1 does not answer before the partition")
	}
	l.Partition([]string{"web1"}, []string{"lb1", "mgmt"})
	if !cutOff("lb1") || cutOff("web2") {
		t.Error("want web1 cut off from lb1, and not from web2")
	}
	l.Reboot("lb1")
	if !cutOff("lb1") {
		t.Error("a reboot healed the partition")
	}
	if cuts := l.Status().Cuts; len(cuts) != 2 {
		t.Errorf("status shows %v", cuts)
	}
	l.Do("heal", "lb1", "web1")
	// A neighbour that could not be found is looked for again only after a while.
	patiently := []string{"curl", "--silent", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "--max-time", "5"}
	l.Exec("lb1", append(patiently, "http://10.0.0.1:8000/")...)
	l.Heal()
	l.Manage(append(patiently, "http://web1:8000/")...)
}

func testFromInside(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	before := l.Status().Machines["lb1"].Boot
	l.Manage(program, "kill", "lb1")
	l.Manage(program, "reset", "-no-agent", "lb1")
	if got := l.Manage(program, "exec", "lb1", "--", "hostname"); got != "lb1\n" {
		t.Errorf("exec from inside printed %q", got)
	}
	if m := l.Status().Machines["lb1"]; m.State != lab.On || m.Incarnation != 2 {
		t.Errorf("lb1, which had booted %d times, is %+v", before, m)
	}
	_, err := l.Try(t.Context(), "manage", "--", program, "down")
	if err == nil || !strings.Contains(err.Error(), "inside the lab") {
		t.Errorf("down from inside: %v", err)
	}
}

func testUpAgain(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	before := l.Status()
	l.Do("up", "-no-agent", "web1=10.0.0.1")
	l.Do("up", "-no-agent")
	if after := l.Status(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
	for args, want := range map[string]string{
		"web1=10.0.0.3": "is there already",
		"web3=10.0.0.1": "given to both",
	} {
		if _, err := l.Try(t.Context(), "up", "-no-agent", args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("up %s: %v, want %q", args, err, want)
		}
	}
}

// testKilledSupervisor ends the processes of the lab's own that keep it, as a
// killed run or the kernel would.
func testKilledSupervisor(t *testing.T, program string) {
	l := labtest.At(t, program, testEnv)
	l.Exec("web1", "sh", "-c", "echo kept > /root/file; sync")
	for _, group := range []string{"machines/web1/supervisor", "sites/fabric"} {
		endGroup(t, group)
		l.Do("up", "-no-agent")
		for _, machine := range []string{"lb1", "web1", "web2"} {
			l.Exec(machine, "true")
		}
		if got := l.Exec("web1", "cat", "/root/file"); got != "kept\n" {
			t.Errorf("after the end of %s the file is %q", group, got)
		}
		serve(t, l, "web1", "again")
		if got := l.Manage("curl", "--silent", "--max-time", "10", "http://web1:8000/"); got != "again" {
			t.Errorf("after the end of %s mgmt got %q", group, got)
		}
	}
	endGroup(t, ".")
}

// endGroup kills a cgroup of the test's own lab.
func endGroup(t *testing.T, name string) {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		path := filepath.Join(root, "foobar-lab", "labtest", name, "cgroup.kill")
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			_, err = f.WriteString("1")
			if closed := f.Close(); err != nil || closed != nil {
				t.Fatal(err, closed)
			}
			waitUntil(t, func() bool {
				events, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup.events"))
				return err != nil || strings.Contains(string(events), "populated 0")
			})
			return
		}
	}
	t.Fatalf("the lab has no cgroup %s", name)
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal(context.Cause(ctx))
		case <-tick.C:
		}
	}
}
