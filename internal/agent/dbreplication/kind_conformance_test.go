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

func TestTheKindConforms(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	root := t.TempDir()
	first, second, broken := r.spec("web2"), r.spec("web2", "web3"), r.spec("web2", "web3")
	second.Databases["more"] = api.DBDatabase{Charset: "utf8mb4"}
	second.MaxLag = 0
	r.enlist(second)
	// A member that does not answer cannot join.
	lost := broken.Members["web3"]
	delete(broken.Members, "web3")
	broken.Members["web4"] = lost
	db := r.machines["web2"].rackDB
	conformance.Run(t, conformance.Suite{
		Kind: r.kind("web1"), Name: "notes", Root: root,
		Units: systemdtest.New(root, filepath.Join(t.TempDir(), "systemd.json")), Accounts: mine{},
		First: api.Encode(first), Second: api.Encode(second), Broken: api.Encode(broken), Forward: true,
		Secrets: map[string]api.Secret{"app": "hunter2"},
		Breaks: []conformance.Break{
			{Name: "a replica that accepts writes", Do: func(context.Context) error { return db.with(func() { db.writable = true }) }},
			{Name: "a replica that stands still", Do: func(context.Context) error { return db.with(func() { db.stopped = true }) }},
			{Name: "an agent that was told another spec", Do: func(ctx context.Context) error {
				other := r.spec()
				return r.machines["web1"].node.Hear(ctx, "notes", api.DBTold{Spec: other, Replication: "x"})
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
