package dbreplication

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/conformance"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// mine gives everything to the user that runs the test.
type mine struct{}

func (mine) Ensure(context.Context, []converge.User) error { return nil }

func (mine) Lookup(string, string) (int, int, error) { return os.Getuid(), os.Getgid(), nil }

// enlisting is the kind behind a provider, which tells the machines of one another
// before each apply, but of none that is not there.
type enlisting struct {
	*replicationKind
	rack *rack
}

// replicationKind is a name for Kind that no method has.
type replicationKind = Kind

// Apply implements [operation.Kind].
func (e enlisting) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To != nil {
		if spec, err := specOf(change.To.Spec); err == nil && e.rack.has(spec) {
			e.rack.enlist(spec) //nolint:contextcheck // that one is to be cancelled
		}
	}
	return e.replicationKind.Apply(ctx, change, progress)
}

func TestTheKindConforms(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	root := t.TempDir()
	first, second, broken := r.spec("web2"), r.spec("web2", "web3"), r.spec("web2", "web3")
	second.Databases["more"] = api.DBDatabase{Charset: "utf8mb4"}
	second.MaxLag = 0
	// A member that does not answer cannot join.
	lost := broken.Members["web3"]
	delete(broken.Members, "web3")
	broken.Members["web4"] = lost
	db := r.machines["web2"].rackDB
	conformance.Run(t, conformance.Suite{
		Kind: enlisting{r.kind("web1"), r}, Name: "notes", Root: root,
		Units: systemdtest.New(root, filepath.Join(t.TempDir(), "systemd.json")), Accounts: mine{},
		First: api.Encode(first), Second: api.Encode(second), Broken: api.Encode(broken), Forward: true,
		Secrets: map[string]api.Secret{"app": "hunter2"},
		Breaks: []conformance.Break{
			{Name: "a replica that accepts writes", Do: func(context.Context) error { return db.with(func() { db.writable = true }) }},
			{Name: "a replica that stands still", Do: func(context.Context) error { return db.with(func() { db.stopped = true }) }},
			{Name: "an agent that was given another spec", Do: func(ctx context.Context) error {
				other := r.spec()
				return r.machines["web1"].node.SetConfig(ctx, "notes", api.DBConfig{Spec: other, Replication: "x"})
			}},
		},
		Serves: func(_ context.Context, raw json.RawMessage) error {
			var spec api.DBReplication
			if err := json.Unmarshal(raw, &spec); err != nil {
				return err
			}
			for name, m := range r.machines {
				_, member := spec.Members[name]
				m.dbMu.Lock()
				follows, open := m.source != nil, m.writable
				m.dbMu.Unlock()
				if follows != (member && name != spec.Primary) || open != (name == spec.Primary) {
					return fmt.Errorf("%s: member %v, follows %v, writable %v", name, member, follows, open)
				}
			}
			return nil
		},
	})
}
