package converge_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const balancer = "global\nbackend web\n  balance roundrobin\n  server web1 10.0.0.1:80 weight 100\n  server web2 10.0.0.2:80 weight 100\n"

// driftState is a state with one of everything.
func driftState(sum string) *converge.State {
	state := release(sum)
	cfg := config("haproxy.cfg", balancer)
	cfg.Sources = map[int]api.Pointer{
		3: "/backends/web/algorithm", 4: "/backends/web/servers/web1", 5: "/backends/web/servers/web2",
	}
	secret := config("secrets.env", "TOKEN=hunter2\n")
	secret.Secret = true
	state.Files = []converge.File{cfg, secret, unitFile("a.service", "run")}
	state.Units = []converge.Unit{{Name: "a.service"}}
	return state
}

func TestDrift(t *testing.T) {
	origin := open(t, tempDir(t))
	sum := origin.upload(t, map[string]string{"app": "one", "lib/x": "x"})
	state := driftState(sum)
	applied := origin.apply(t, nil, state)
	const cfg = "/etc/foobar/edge/haproxy.cfg"
	tree := state.Trees[0].Path
	rewrite := func(old, text string) func(*machine) error {
		return func(m *machine) error {
			return os.WriteFile(m.path(cfg), []byte(strings.Replace(balancer, old, text, 1)), 0o600)
		}
	}
	for name, test := range map[string]struct {
		change   func(m *machine) error
		key      string
		detail   string
		pointers []api.Pointer
	}{
		"changed line": {
			change: rewrite("roundrobin", "leastconn"),
			key:    cfg, detail: "edited by hand: line 3", pointers: []api.Pointer{"/backends/web/algorithm"},
		},
		"removed line": {
			change: rewrite("  server web2 10.0.0.2:80 weight 100\n", ""),
			key:    cfg, detail: "edited by hand: line 5 removed", pointers: []api.Pointer{"/backends/web/servers/web2"},
		},
		"added lines": {
			change: rewrite("backend web\n", "backend web\n  # one\n  # two\n"),
			key:    cfg, detail: "edited by hand: lines 3–4",
		},
		"missing file": {change: func(m *machine) error { return os.Remove(m.path(cfg)) }, key: cfg, detail: "is missing"},
		"changed mode": {change: func(m *machine) error { return os.Chmod(m.path(cfg), 0o666) }, key: cfg, detail: "its mode is 0666, not 0640"},
		"replaced by a directory": {
			change: func(m *machine) error { return replaceBy(m, cfg, func(p string) error { return os.Mkdir(p, 0o700) }) },
			key:    cfg, detail: "is a directory, not a file",
		},
		"replaced by a link": {
			change: func(m *machine) error {
				return replaceBy(m, cfg, func(p string) error { return os.Symlink("/etc/hosts", p) })
			},
			key: cfg, detail: "is a link to /etc/hosts, not a file",
		},
		"changed secret": {
			change: func(m *machine) error {
				return os.WriteFile(m.path("/etc/foobar/edge/secrets.env"), []byte("TOKEN=other\n"), 0o600)
			},
			key: "/etc/foobar/edge/secrets.env", detail: "its content was changed by hand",
		},
		"changed link": {
			change: func(m *machine) error {
				return replaceBy(m, "/srv/edge/current", func(p string) error { return os.Symlink("/tmp", p) })
			},
			key: "/srv/edge/current", detail: "points to /tmp, not to " + tree, pointers: []api.Pointer{"/release/sha256"},
		},
		"missing tree": {
			change: func(m *machine) error { return os.RemoveAll(m.path(tree)) },
			key:    tree, detail: "is missing", pointers: []api.Pointer{"/release/sha256"},
		},
		"changed tree": {
			change: func(m *machine) error { return os.WriteFile(m.path(tree+"/app"), []byte("two"), 0o600) },
			key:    tree, detail: "app is changed", pointers: []api.Pointer{"/release/sha256"},
		},
		"changed directory": {
			change: func(m *machine) error { return os.Chmod(m.path("/srv/edge"), 0o700) },
			key:    "/srv/edge", detail: "its mode is 0700, not 0755",
		},
		"stopped unit":  {change: func(m *machine) error { return m.units.Stop(t.Context(), "a.service") }, key: "a.service", detail: "is stopped"},
		"failed unit":   {change: func(m *machine) error { return m.units.Fail(t.Context(), "a.service") }, key: "a.service", detail: "has failed: exit-code"},
		"disabled unit": {change: func(m *machine) error { return m.units.Disable(t.Context(), "a.service") }, key: "a.service", detail: "does not start at boot"},
		"drop-in": {
			change: func(m *machine) error {
				dir := m.path("/etc/systemd/system/a.service.d")
				return errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(dir+"/override.conf", nil, 0o600), m.units.DaemonReload(t.Context()))
			},
			key: "a.service", detail: "is changed by /etc/systemd/system/a.service.d/override.conf",
		},
		"masked unit": {change: func(m *machine) error { return m.units.Mask(t.Context(), "a.service") }, key: "a.service", detail: "is masked, so that systemd does not start it"},
	} {
		t.Run(name, func(t *testing.T) {
			m := origin.copyOf(t)
			want := m.snapshot(t)
			if err := test.change(m); err != nil {
				t.Fatal(err)
			}
			found, err := m.engine.Drift(t.Context(), *applied)
			if err != nil {
				t.Fatal(err)
			}
			if keys := slices.Collect(maps.Keys(found)); len(keys) != 1 || found[test.key].Detail != test.detail || !slices.Equal(found[test.key].Pointers, test.pointers) {
				t.Errorf("the drift is %v", found)
			}
			m.apply(t, applied, state)
			if err := os.Remove(m.path("/etc/systemd/system/a.service.d")); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the drop-ins' directory: %v", err) // it is not ours and stays, but empty
			}
			same(t, "after the repair", want, m.snapshot(t))
			if left, err := m.engine.Drift(t.Context(), *applied); err != nil || len(left) > 0 {
				t.Errorf("after the repair the drift is %v, %v", left, err)
			}
		})
	}
}

func replaceBy(m *machine, path string, put func(path string) error) error {
	if err := os.Remove(m.path(path)); err != nil {
		return err
	}
	return put(m.path(path))
}

func TestRecordHoldsNoSecret(t *testing.T) {
	m := open(t, tempDir(t))
	applied := m.apply(t, nil, driftState(m.upload(t, map[string]string{"app": "one"})))
	if text := string(api.Encode(applied)); strings.Contains(text, "hunter2") || strings.Contains(text, "aHVudGVyMg") {
		t.Errorf("the record holds the secret: %s", text)
	}
}

func TestPreviewNamesWhatWouldChange(t *testing.T) {
	m := open(t, tempDir(t))
	one := m.apply(t, nil, pair("one"))
	if err := m.units.Stop(t.Context(), "b@blue.service"); err != nil {
		t.Fatal(err)
	}
	before := m.snapshot(t)
	_, changes, err := m.engine.Preview(t.Context(), one, &converge.State{
		Files: []converge.File{unitFile("b@.service", "constant"), unitFile("c.service", "new")},
		Units: []converge.Unit{{Name: "b@blue.service"}, {Name: "c.service"}},
	}, converge.State{})
	want := []api.Change{
		{Path: "/etc/foobar/edge/a.cfg", Action: api.ChangeDelete},
		{Path: "/etc/systemd/system/a.service", Action: api.ChangeDelete},
		{Path: "/etc/systemd/system/c.service", Action: api.ChangeCreate},
		{Path: "a.service", Action: api.ChangeDelete},
		{Path: "b@blue.service", Action: api.ChangeUpdate},
		{Path: "c.service", Action: api.ChangeCreate},
	}
	if err != nil || !slices.Equal(changes, want) {
		t.Errorf("the changes are %v, %v; want %v", changes, err, want)
	}
	same(t, "after a preview", before, m.snapshot(t))
}
