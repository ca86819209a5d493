//go:build lab

package appserver_test

import (
	"bytes"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestAppGetsExactlyWhatTheSpecSays(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("one"), 8081)
	spec.Environment = map[string]string{
		"PLAIN": "value", "EMPTY": "", "SPACES": "  two  ", "QUOTES": `"double" 'single' ` + "`back`",
		"DOLLAR": "$HOME ${PLAIN} $$ %i %%", "BACKSLASH": `\ \n \\ \"`, "LINES": "first\nsecond\n\nfourth\n",
		"COMMENT": "# not a comment\n# either\n; nor this", "INJECT": "x\"\nPLAIN=evil", "UNICODE": "žluťoučký 🐎", "TAB": "a\tb\r",
	}
	literal := []string{"", " a b ", `"q" 'q'`, `back\slash\`, "%i %n %%", ";", "#", "$$HOME", "5$", "ž", "-x", "{a,b}*?"}
	spec.Command = append(append(spec.Command, literal...), "$SOCKET", "unix:${SOCKET}:")
	s.apply("exact", spec, nil)

	_, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, nil)
	for name, value := range spec.Environment {
		if got := answer.Environment[name]; got != value {
			t.Errorf("%s: the app got %q, the spec says %q", name, got, value)
		}
	}
	socket := "/run/foobar-app-exact-blue/app.sock"
	literal[slices.Index(literal, "$$HOME")] = "$HOME"
	want := append(literal, socket, "unix:"+socket+":")
	if !slices.Equal(answer.Arguments, want) {
		t.Errorf("the app got the arguments\n%q, the spec says\n%q", answer.Arguments, want)
	}
	c, status := s.get("exact")
	if len(c.Drift) > 0 || string(c.Observed) != string(c.Spec) || len(c.Conditions) > 0 {
		t.Errorf("after the apply: drift %v, conditions %v, observed %s", c.Drift, c.Conditions, c.Observed)
	}
	if !status.Healthy || status.Release != spec.Release.SHA256 || status.PID == 0 || !slices.Contains(status.Log, "started one") {
		t.Errorf("status: %+v", status)
	}
}

// What a JIT compiler does, and what an app must not do.
const limits = `
import mmap, os
mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
open("/tmp/mine", "w").close()
os.chown("/tmp/mine", os.getuid(), os.getgid())  # gunicorn does this to its socket
try:
    os.chown("/tmp/mine", 0, 0)
    raise SystemExit("a file was given away")
except PermissionError:
    pass
for path in ("/srv/limits/mine", "/etc/mine", "/run/mine"):
    try:
        open(path, "w").close()
        raise SystemExit("can write " + path)
    except OSError:
        pass
for path in ("/srv/neighbour", "/etc/foobar/app-server/limits/blue.env", "/run/foobar-app-neighbour-blue"):
    try:
        os.listdir(path) if os.path.isdir(path) else open(path)
        raise SystemExit("can read " + path)
    except PermissionError:
        pass
RELEASE = "limits"
`

func TestAppIsConfinedButMayCompile(t *testing.T) {
	s := newStand(t)
	s.apply("neighbour", s.spec(s.release("neighbour"), 8082), nil)
	s.apply("limits", s.spec(s.upload(map[string]entry{"main.py": {limits + echo, 0o644}}), 8081), nil)
	s.serves("limits", "http://127.0.0.1:8081/")
}

func TestAppOnAPort(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("port"), 8081)
	spec.AppPorts = []int{8082, 8083}
	spec.Command = append(spec.Command, "127.0.0.1:$PORT")
	s.apply("port", spec, nil)
	_, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, nil)
	if !slices.Equal(answer.Arguments, []string{"127.0.0.1:8082"}) || answer.Environment["PORT"] != "8082" {
		t.Errorf("the app got %q and PORT=%q", answer.Arguments, answer.Environment["PORT"])
	}
}

func TestRequestsAreDescribedByNginxAlone(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("headers"), 8081)
	s.apply("headers", spec, nil)
	claim := http.Header{}
	for name, value := range map[string]string{
		"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Request-Id": "given-id", "X-Forwarded-Port": "1",
		"Forwarded": "for=198.51.100.7", "X-Real-Ip": "198.51.100.7", "X-Forwarded-Host": "evil.test", "Upgrade": "h2c", "Connection": "Upgrade",
	} {
		claim.Set(name, value)
	}
	response, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/a%2Fb?c=d", nil, claim)
	want := map[string]string{
		"host": "127.0.0.1:8081", "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-real-ip": "127.0.0.1",
		"x-forwarded-host": "127.0.0.1:8081", "connection": "close", "x-request-id": response.header.Get("X-Request-Id"),
	}
	for _, gone := range []string{"upgrade", "forwarded", "x-forwarded-port", "proxy"} {
		want[gone] = ""
	}
	for name, value := range want {
		if got := answer.Headers[name]; got != value {
			t.Errorf("untrusted: the app got %s %q, want %q", name, got, value)
		}
	}
	if id := answer.Headers["x-request-id"]; id == "given-id" || len(id) != 32 {
		t.Errorf("untrusted: the request id is %q", id)
	}
	if answer.Path != "/a%2Fb?c=d" {
		t.Errorf("the app got the path %q", answer.Path)
	}

	_, answer = s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}})
	if answer.Headers["upgrade"] != "websocket" || answer.Headers["connection"] != "upgrade" {
		t.Errorf("of a WebSocket's request the app got %q", answer.Headers)
	}

	before := s.pid("foobar-app-headers@blue.service")
	spec.TrustedProxies = []string{"127.0.0.0/8"}
	s.apply("headers", spec, nil)
	if after := s.pid("foobar-app-headers@blue.service"); after != before {
		t.Errorf("a change of nginx alone restarted the app: %d became %d", before, after)
	}
	_, answer = s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, claim)
	for name, value := range map[string]string{
		"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https", "x-real-ip": "198.51.100.7", "x-request-id": "given-id",
	} {
		if got := answer.Headers[name]; got != value {
			t.Errorf("trusted: the app got %s %q, want %q", name, got, value)
		}
	}
}

func TestReloadKeepsNginx(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("body"), 8081)
	spec.RequestLimits.BodyBytes = 1000
	s.apply("body", spec, nil)
	post := func(size int) int {
		response, _ := s.ask(http.MethodPost, "http://127.0.0.1:8081/", bytes.NewReader(make([]byte, size)), nil)
		return response.status
	}
	if got := post(1001); got != http.StatusRequestEntityTooLarge {
		t.Errorf("1001 bytes of 1000: %d", got)
	}
	nginx := s.pid("foobar-app-body-nginx.service")
	spec.RequestLimits.BodyBytes, spec.Port = 300_000, 8083
	s.apply("body", spec, nil)
	if after := s.pid("foobar-app-body-nginx.service"); after != nginx {
		t.Errorf("nginx was restarted: %d became %d", nginx, after)
	}
	response, _ := s.ask(http.MethodPost, "http://127.0.0.1:8083/", bytes.NewReader(make([]byte, 300_000)), nil)
	if response.status != http.StatusOK {
		t.Errorf("300,000 bytes after the reload: %d", response.status)
	}
}

func TestHealthAndDrainForLoadBalancers(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("drain"), 8081)
	s.apply("drain", spec, nil)
	health := func() int {
		response, _ := s.ask(http.MethodHead, "http://127.0.0.1:8081"+api.AppHealthPath, nil, nil)
		return response.status
	}
	if got := health(); got != http.StatusOK {
		t.Errorf("healthy: %d", got)
	}
	const file = "/run/foobar-app-drain-nginx/drain"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := health(); got != http.StatusNotFound {
		t.Errorf("draining: %d", got)
	}
	c, _ := s.get("drain")
	if len(c.Conditions) != 1 || c.Conditions[0].Type != "Draining" || len(c.Drift) > 0 {
		t.Errorf("draining: %+v %v", c.Conditions, c.Drift)
	}
	if response, _ := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, nil); response.status != http.StatusOK {
		t.Errorf("a request while it drains: %d", response.status)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	spec.HealthCheck.Path, spec.HealthCheck.StartTimeout = "/broken", api.Duration(time.Second)
	if problem := s.refused("drain", spec); problem.Type != api.ProblemRolledBack || !strings.Contains(problem.Error(), "500") {
		t.Errorf("a health check that the app fails: %v", problem)
	}
	if got := health(); got != http.StatusOK {
		t.Errorf("after the change was undone: %d", got)
	}
	if response, _ := s.ask(http.MethodGet, "http://127.0.0.1:8081/_foobar/other", nil, nil); response.status != http.StatusNotFound {
		t.Errorf("nginx's own paths reach the app: %d", response.status)
	}
}

func TestSecretsStayHidden(t *testing.T) {
	s := newStand(t)
	const secret, key = "hunter2-$ecret\"x", "-----BEGIN KEY-----\nc2VjcmV0\n-----END KEY-----\n"
	spec := s.spec(s.upload(map[string]entry{"main.py": {`
import os
print("token", os.environ["TOKEN"], flush=True)
RELEASE = "leaky"
` + echo, 0o644}}), 8081)
	spec.SecretsVersion = 1
	s.apply("secret", spec, map[string]api.Secret{"TOKEN": secret, "KEY": key})

	_, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, nil)
	if answer.Environment["TOKEN"] != secret || answer.Environment["KEY"] != key {
		t.Errorf("the app got %q", answer.Environment)
	}
	_, status := s.get("secret")
	if all := strings.Join(status.Log, "\n"); strings.Contains(all, "hunter2") || !strings.Contains(all, "token (secret)") {
		t.Errorf("the status shows %s", all)
	}
	for _, command := range [][]string{
		{"systemctl", "show", "--all", "foobar-app-secret@blue.service"},
		{"systemctl", "cat", "foobar-app-secret@blue.service"},
		{"ps", "-eo", "args"},
		{"setpriv", "--reuid=www-data", "--clear-groups", "ps", "axeww"},
	} {
		output, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", command, err, output)
		}
		if bytes.Contains(output, []byte("hunter2")) {
			t.Errorf("%q shows the secret", command)
		}
	}
	for _, path := range readable(t, "/etc", "/srv", "/run", "/tmp", "/var/lib", "/var/tmp", "/var/cache") {
		content, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(content, []byte("hunter2")) || bytes.Contains(content, []byte("c2VjcmV0"))) {
			t.Errorf("%s is readable by all and holds a secret", path)
		}
	}
	// A new version of the values restarts the app; the same one does nothing.
	before := s.pid("foobar-app-secret@blue.service")
	s.apply("secret", spec, nil)
	if s.pid(s.live("secret")) != before {
		t.Error("an apply of the same version restarted the app")
	}
	spec.SecretsVersion = 2
	s.apply("secret", spec, map[string]api.Secret{"TOKEN": "other"})
	if _, answer := s.ask(http.MethodGet, "http://127.0.0.1:8081/", nil, nil); answer.Environment["TOKEN"] != "other" || answer.Environment["KEY"] != "" {
		t.Errorf("after a new version the app got %q", slices.Sorted(maps.Values(answer.Environment)))
	}
	_, status = s.get("secret")
	if all := strings.Join(status.Log, "\n"); strings.Contains(all, "hunter2") || !strings.Contains(all, "token (secret)") {
		t.Errorf("after a new version the status shows %s", all)
	}
}

// readable lists the regular files that any user can read, as far as modes
// tell, leaving out directories that others cannot enter.
func readable(t *testing.T, dirs ...string) []string {
	t.Helper()
	var found []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // what is gone meanwhile is not readable
			}
			info, err := d.Info()
			if err != nil {
				return nil //nolint:nilerr // likewise
			}
			if d.IsDir() && info.Mode().Perm()&0o001 == 0 {
				return filepath.SkipDir
			}
			if info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 && info.Size() < 1<<20 {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}
