package agenttest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const stateDir = "/var/lib/foobar"

// damages are what can become of a file. Bytes tells that its content alone is
// damaged, which says nothing for a file of any content.
func damages() map[string]struct {
	bytes bool
	do    func(path string, content []byte) error
} {
	type damage = struct {
		bytes bool
		do    func(path string, content []byte) error
	}
	write := func(change func([]byte) []byte) damage {
		return damage{true, func(path string, content []byte) error { return os.WriteFile(path, change(content), 0o600) }}
	}
	instead := func(makeIt func(path string) error) damage {
		return damage{false, func(path string, _ []byte) error { return errors.Join(os.RemoveAll(path), makeIt(path)) }}
	}
	return map[string]damage{
		"empty":              write(func([]byte) []byte { return nil }),
		"truncated":          write(func(content []byte) []byte { return content[:len(content)/2] }),
		"zeros":              write(func(content []byte) []byte { return make([]byte, len(content)) }),
		"garbage":            write(func([]byte) []byte { return []byte("\xff\xfe\x00 \x80 no text \xff") }),
		"another type":       write(func([]byte) []byte { return []byte(`"text"`) }),
		"a directory":        instead(func(path string) error { return os.MkdirAll(filepath.Join(path, "inside"), 0o700) }),
		"a link to nowhere":  instead(func(path string) error { return os.Symlink("/nowhere", path) }),
		"a pipe":             instead(func(path string) error { return syscall.Mkfifo(path, 0o600) }),
		"from a future time": write(func([]byte) []byte { return []byte(`{"v":99,"id":{"new":1},"kind":7,"generation":"a"}`) }),
	}
}

// rack is a machine with a file of every kind, on which damage is done.
type rack struct {
	t     *testing.T
	m     *agenttest.Machine
	other *agenttest.Machine
	app   client.Change
	// files and contents are by pattern.
	files    map[string]string
	contents map[string][]byte
}

func newRack(t *testing.T) *rack {
	t.Helper()
	armed, reached := false, make(chan struct{})
	m, _ := enrolled(t, agenttest.Config{Step: func(step string) error {
		if armed && step == "record www.json" {
			armed = false
			close(reached)
			runtime.Goexit() // the change stays in the middle
		}
		return nil
	}})
	other, _ := enrolled(t, agenttest.Config{Node: "web2", Seed: m.Seed()})
	r := &rack{t: t, m: m, other: other, files: map[string]string{}, contents: map[string][]byte{}}
	r.apply(change(0, balancer(100)))
	r.applyApp()
	r.enlist()
	if err := raise(t, m.From(other), 7, "web2"); err != nil {
		t.Fatal(err)
	}
	r.tell()
	dir := filepath.Join(stateDir, "replications", "notes")
	for path, content := range map[string]string{
		dir + "/seeded.json": `{"order":"a"}`, dir + "/followed.json": `{"password":"a"}`,
		dir + "/journal.json": `{"operation":{"id":"a"}}`, dir + "/tokens.json": `{"drop":["a"]}`, stateDir + "/audit.log.1": "",
		stateDir + "/audit-refused.log.1": "",
	} {
		must(t, os.WriteFile(m.Path(path), []byte(content), 0o600))
	}
	must(t, m.Admin().EnsureLeaf(t.Context(), leafName(), pki.ServiceNames{}))
	armed = true
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = m.Admin().Apply(ctx, change(1, balancer(50)), nil)
	}()
	<-reached
	m.Kill()
	cancel()
	<-asked
	b, err := pki.NewBootstrap(m.Signer().Authority, "web1", 1, ":9443") // of a reset that was carried out
	must(t, err)
	must(t, os.WriteFile(m.Path(stateDir+"/identity/reset.json"), b.JSON(), 0o600))
	for _, kind := range agent.Files() {
		found, err := filepath.Glob(m.Path(filepath.Join(stateDir, kind.Pattern)))
		if err != nil || len(found) == 0 {
			t.Fatalf("the machine has no file %s, %v", kind.Pattern, err)
		}
		r.files[kind.Pattern], _ = filepath.Rel(m.Path(stateDir), found[0])
	}
	return r
}

func leafName() string { return api.ID{Kind: api.KindDBServer, Name: "main"}.LeafName() }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rack) apply(c client.Change) {
	r.t.Helper()
	if _, err := r.m.Admin().Apply(r.t.Context(), c, nil); err != nil {
		r.t.Fatalf("apply %s: %v", c.ID, err)
	}
}

// applyApp creates the app with its artifact and secrets.
func (r *rack) applyApp() {
	r.t.Helper()
	archive := release(r.t)
	sum := sha256.Sum256(archive)
	spec := api.DefaultAppServer()
	spec.Release.SHA256, spec.Command, spec.Port, spec.SecretsVersion = hex.EncodeToString(sum[:]), []string{"./app"}, 8080, 1
	must(r.t, r.m.Admin().UploadBlob(r.t.Context(), spec.Release.SHA256, bytes.NewReader(archive), int64(len(archive)), nil))
	r.app = client.Change{
		ID:    api.ID{Kind: api.KindAppServer, Name: "shop"},
		Write: api.Write{Spec: api.Encode(spec), Secrets: map[string]api.Secret{"TOKEN": "s3cret"}},
	}
	r.apply(r.app)
}

func (r *rack) enlist() {
	r.t.Helper()
	shown := api.DBMembership{Peers: map[string]api.DBPeer{"web1": r.m.Peer(), "web2": r.other.Peer()}, Members: []string{"web2"}}
	must(r.t, r.m.Admin().Enlist(r.t.Context(), "notes", shown))
}

// tell has the primary, which is the other machine, tell this one, a witness,
// of the replication.
func (r *rack) tell() {
	r.t.Helper()
	spec := api.DefaultDBReplication()
	spec.Primary = "web2"
	spec.Members = map[string]api.DBMember{"web2": {DBPeer: r.other.Peer(), Server: "main", ServerID: 2, Host: "10.0.0.2", Port: 3306}}
	spec.Witnesses = map[string]api.DBPeer{"web1": r.m.Peer()}
	_, err := r.m.From(r.other).ReplicationCall(r.t.Context(), http.MethodPut, "notes", "", api.DBConfig{Spec: spec}, nil)
	must(r.t, err)
}

// status returns all that is reported of the machine and its components.
func (r *rack) status() string {
	r.t.Helper()
	admin, ctx := r.m.Admin(), r.t.Context()
	var b strings.Builder
	health, err := admin.Health(ctx)
	must(r.t, err)
	show := func(conditions []api.Condition) {
		for _, c := range conditions {
			if c.Severity != api.SeverityInfo {
				fmt.Fprintf(&b, "%s %s\n", c.Type, c.Message)
			}
		}
	}
	show(health.Conditions)
	listing, err := admin.Components(ctx)
	must(r.t, err)
	for _, listed := range listing.Components {
		component, err := admin.Get(ctx, listed.ID)
		if err != nil && !api.IsProblem(err, api.ProblemDamaged) {
			r.t.Errorf("%s cannot be shown: %v", listed.ID, err)
		}
		if err != nil {
			fmt.Fprintln(&b, err)
		}
		for _, path := range slices.Sorted(maps.Keys(component.Drift)) {
			fmt.Fprintf(&b, "%s %s\n", path, component.Drift[path].Detail)
		}
		show(component.Conditions)
	}
	if len(listing.Components) != 2 {
		r.t.Errorf("%d components are listed", len(listing.Components))
	}
	return b.String()
}

// generation returns which one a component is of, or was for Terraform.
func (r *rack) generation(id api.ID) int64 {
	component, err := r.m.Admin().Get(r.t.Context(), id)
	if err != nil {
		return 9
	}
	return component.Generation
}

// restore does what the texts say.
func (r *rack) restore(pattern, file string) {
	r.t.Helper()
	balancer := change(r.generation(www()), balancer(100))
	app := r.app
	app.Base = r.generation(app.ID)
	path := r.m.Path(filepath.Join(stateDir, file))
	switch {
	case strings.HasSuffix(pattern, "/membership.json") || pattern == "replications/*":
		r.enlist()
	case strings.HasPrefix(pattern, "identity/leaves/"):
		must(r.t, r.m.Admin().EnsureLeaf(r.t.Context(), leafName(), pki.ServiceNames{}))
	case pattern == "identity/reset.json":
		must(r.t, os.RemoveAll(path))
	case strings.HasSuffix(pattern, "/config.json"):
		r.tell()
	case strings.HasSuffix(pattern, "/record.json"): // "move it away and apply again"
		must(r.t, os.Rename(path, r.m.Path("/moved")))
		must(r.t, raise(r.t, r.m.From(r.other), 7, "web2"))
		must(r.t, os.RemoveAll(r.m.Path("/moved")))
	case strings.HasPrefix(pattern, "replications/") && slices.Contains([]string{"seeded.json", "followed.json", "journal.json", "tokens.json"}, filepath.Base(file)):
		must(r.t, os.RemoveAll(path)) // what an apply does is tested where there are databases
	case strings.HasPrefix(pattern, "transactions/"), strings.Contains(file, "load-balancer"):
		r.apply(balancer)
	case strings.HasPrefix(pattern, "secrets/"), strings.HasPrefix(pattern, "components/"), strings.HasPrefix(pattern, "blobs/"):
		r.applyApp2(app)
	}
	// What stays is evidence, which is removed.
	if strings.Contains(r.status(), statefile.AsideDir) {
		must(r.t, os.RemoveAll(r.m.Path(filepath.Join(stateDir, statefile.AsideDir))))
	}
}

// applyApp2 applies the app again, as Terraform does: what is missing is uploaded.
func (r *rack) applyApp2(app client.Change) {
	r.t.Helper()
	archive := release(r.t)
	sum := sha256.Sum256(archive)
	must(r.t, r.m.Admin().UploadBlob(r.t.Context(), hex.EncodeToString(sum[:]), bytes.NewReader(archive), int64(len(archive)), nil))
	r.apply(app)
}

// damage damages the file of a kind, which is there, and leaves one that is half
// written beside it.
func (r *rack) damage(pattern string, do func(string, []byte) error) {
	r.t.Helper()
	if pattern != "identity/reset.json" { // it would be carried out where the identity is damaged
		must(r.t, os.RemoveAll(r.m.Path(stateDir+"/identity/reset.json")))
	}
	path := r.m.Path(filepath.Join(stateDir, r.files[pattern]))
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) { // set aside before, and nobody needed another
		content = r.contents[pattern]
		must(r.t, os.WriteFile(path, content, 0o600))
	}
	r.contents[pattern] = content
	must(r.t, do(path, content))
	must(r.t, os.WriteFile(path+statefile.NewSuffix, nil, 0o600))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// lost opens a machine whose identity is damaged, which serves nothing but tells
// why, and brings the identity back.
func (r *rack) lost(damage, file string) {
	r.t.Helper()
	path := r.m.Path(filepath.Join(stateDir, file))
	_, err := r.m.OpenIdentity()
	if lost, ok := errors.AsType[*identity.Lost](err); !ok || !strings.Contains(lost.Error(), path) || !strings.Contains(lost.Error(), "restore the file") {
		r.t.Errorf("%s: opened with %v", damage, err)
	}
	must(r.t, os.RemoveAll(path))
	must(r.t, os.WriteFile(path, r.contents[file], 0o600))
	r.m.Boot()
	if shown := r.status(); shown != "" {
		r.t.Errorf("%s: after the file was restored it is reported:\n%s", damage, shown)
	}
}

// TestDamagedFilesStopNobody walks all kinds of files and all damages: the
// agent starts, shows every component, names the file, and the way out that it
// tells leads out.
func TestDamagedFilesStopNobody(t *testing.T) {
	for _, kind := range agent.Files() {
		t.Run(kind.Pattern, func(t *testing.T) {
			t.Parallel()
			var r *rack
			for name, damage := range damages() {
				if damage.bytes && kind.Check == nil || kind.Dir && name == "a directory" {
					continue
				}
				if r == nil || strings.HasPrefix(kind.Pattern, "transactions/") { // a change is in the middle once
					r = newRack(t)
				} else {
					r.m.Stop()
				}
				r.damage(kind.Pattern, damage.do)
				file := r.files[kind.Pattern]
				if kind.Pattern == "identity/identity.json" {
					r.lost(name, file)
					continue
				}
				r.m.Boot()
				shown := r.status()
				if !strings.Contains(shown, filepath.Base(file)) {
					t.Errorf("%s: nothing reports %s:\n%s", name, file, shown)
				}
				if left := filepath.Base(file) + statefile.NewSuffix; file != "boot-id" && exists(r.m.Path(filepath.Join(stateDir, filepath.Dir(file), left))) {
					t.Errorf("%s: %s is still there, which was half written", name, left) // boot-id is being written again
				}
				r.restore(kind.Pattern, file)
				if shown := r.status(); shown != "" {
					t.Errorf("%s: after what the text says it is still reported:\n%s", name, shown)
				}
			}
		})
	}
}
