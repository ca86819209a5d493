package dbreplication

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Parts are this machine's parts of replications, see [Node].
type Parts interface {
	// Self returns the machine's name.
	Self() replication.NodeID
	// Local returns the part of a replication; an error if there is none yet.
	Local(name string) (*replication.Local, error)
	// AwaitReconciled waits, 2 s at most, until the own server, if it was started a moment
	// ago, is what its part makes it.
	AwaitReconciled(ctx context.Context, name string)
	// Enlisted returns who may talk about a replication here, if anybody may.
	Enlisted(name string) (api.DBMembership, bool)
	// SetConfig keeps what the replication is to be, as the coordinator tells it.
	SetConfig(ctx context.Context, name string, config api.DBConfig) error
	// Config returns what was set last.
	Config(name string) (api.DBConfig, bool)
	// LockOwn gives the part to one operation, UnlockOwn takes it back.
	LockOwn(ctx context.Context, name, operation string) error
	UnlockOwn(ctx context.Context, name, operation string) error
	// Unknown returns the names of a catalog that the database server of a name
	// does not know; an error if it cannot be asked.
	Unknown(ctx context.Context, server string, catalog replication.Catalog) (map[string]replication.UnknownNames, error)
	// Dir returns the directory of the part, for the coordinator's own files.
	Dir(name string) string
}

// Kind is the kind db-replication. It is applied on the machine of the declared
// primary, which coordinates: it looks at all machines of the replication, plans
// and gives the orders. All fields are required, but for Clock.
type Kind struct {
	Parts Parts
	// Dial reaches the agents of the other machines.
	Dial Dial
	// Deployment is the name that the machines' certificates end with.
	Deployment string
	// Clock is the machine's if it is nil.
	Clock replication.Clock

	mu sync.Mutex
	// seen are the snapshots that were observed last, by replication.
	seen map[string]replication.Snapshot
}

// The compiler says it first if the kind and its contract part.
var (
	_ operation.Kind      = (*Kind)(nil)
	_ operation.Previewer = (*Kind)(nil)
)

// Kind returns [api.KindDBReplication].
func (*Kind) Kind() api.Kind { return api.KindDBReplication }

// Validate decodes a spec strictly and checks it.
func (*Kind) Validate(raw json.RawMessage) (operation.Spec, error) {
	var spec api.DBReplication
	if err := api.Decode(raw, &spec); err != nil {
		return nil, err
	}
	if err := spec.Validate().Problem(); err != nil {
		return nil, err
	}
	return spec, nil
}

// files are where a replication's files stand on the coordinator. They are for
// people, and for the passwords: what the agents go by is in the parts.
type files struct{ directory, topology, passwords string }

func filesOf(name string) files {
	directory := path.Join("/etc/foobar", string(api.KindDBReplication), name)
	return files{directory: directory, topology: directory + "/topology.json", passwords: directory + "/passwords.json"}
}

// Render writes the spec for people, and the users' passwords for Apply.
func (*Kind) Render(name string, spec operation.Spec, secrets map[string]api.Secret, _ converge.InPlace) (converge.State, error) {
	typed, err := specOf(spec)
	if err != nil {
		return converge.State{}, err
	}
	topology, err := json.MarshalIndent(typed, "", "  ")
	if err != nil {
		return converge.State{}, fmt.Errorf("write the topology of %s: %w", name, err)
	}
	at := filesOf(name)
	state := converge.State{
		Dirs:  []converge.Dir{{Path: at.directory, Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{{Path: at.topology, Mode: 0o644, Owner: "root", Group: "root", Content: append(topology, '\n')}},
	}
	if typed.SecretsVersion != 0 {
		wanted := map[string]api.Secret{}
		for user := range typed.Users {
			wanted[user] = secrets[user]
		}
		state.Files = append(state.Files, converge.File{
			Path: at.passwords, Mode: 0o600, Owner: "root", Group: "root", Content: api.Encode(wanted), Secret: true,
		})
	}
	return state, nil
}

// passwordsOf reads back what Render wrote. A user without a password is the
// mistake of whoever sent them.
func passwordsOf(name string, spec api.DBReplication, state converge.State) (map[string]api.Secret, error) {
	passwords := map[string]api.Secret{}
	for _, file := range state.Files {
		if file.Path != filesOf(name).passwords {
			continue
		}
		if json.Unmarshal(file.Content, &passwords) != nil { // the error would quote them
			return nil, fmt.Errorf("%s is not what was rendered", file.Path)
		}
	}
	var missing api.Violations
	for user := range spec.Users {
		if passwords[user] == "" {
			missing.Add(api.Pointer("/users").At(user), "no password was sent for this user")
		}
	}
	if len(missing) > 0 {
		return nil, &api.Problem{Type: api.ProblemSecretsMissing, Title: "Secrets are missing", Violations: missing}
	}
	return passwords, nil
}

// Check sees that this is the machine to coordinate from, and asks its database
// for the names that only the server knows. One that does not answer yet may be
// made by this very apply, which checks again.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	spec, err := specOf(staged.Version.Spec)
	if err != nil {
		return err
	}
	if err := k.coordinates(spec); err != nil {
		return err
	}
	unknown, err := k.Parts.Unknown(ctx, spec.Members[spec.Primary].Server, catalogOf(spec))
	if err != nil {
		return ctx.Err() //nolint:nilerr // that the server does not answer is reported by those who look at it
	}
	var found api.Violations
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		at := api.Pointer("/databases").At(name)
		for _, of := range []struct {
			word string
			*replication.UnknownName
		}{{"charset", unknown[name].Charset}, {"collation", unknown[name].Collation}} {
			if of.UnknownName != nil {
				found.Add(at.At(of.word), "%s does not know this %s%s. Write one that the server knows", of.Version, of.word, api.Suggest("; the nearest that it knows are ", of.Nearest))
			}
		}
	}
	if len(found) > 0 {
		return &api.Problem{Type: api.ProblemEngineRefused, Title: "The database server does not know a name", Violations: found}
	}
	return nil
}

func (k *Kind) coordinates(spec api.DBReplication) error {
	if self := string(k.Parts.Self()); spec.Primary != self {
		return &api.Problem{
			Type: api.ProblemEngineRefused, Title: "This is not the primary's machine",
			Detail:     fmt.Sprintf("this machine is %s: a replication is applied on the machine of its primary, which is %s", self, spec.Primary),
			Violations: []api.Violation{{Pointer: "/primary", Detail: fmt.Sprintf("%q is another machine", spec.Primary)}},
		}
	}
	return nil
}

// Impact tells what a change costs the clients. Forming a replication costs
// nothing, as nobody used it; limits and consents are only noted, but that a new
// one to drop takes databases from the accounts that use them. All else is done while
// the primary serves.
func (*Kind) Impact(change converge.Change) api.Impact {
	switch {
	case change.To == nil:
		return api.ImpactRuntime
	case change.From == nil:
		return api.ImpactNone
	}
	from, errFrom := specOf(change.From.Spec)
	to, errTo := specOf(change.To.Spec)
	if errFrom != nil || errTo != nil || string(api.Encode(from)) == string(api.Encode(to)) {
		return api.ImpactRuntime // the same again repairs a drift
	}
	drops := to.Drop != nil && len(to.Drop.Databases)+len(to.Drop.Users) > 0 && (from.Drop == nil || from.Drop.Token != to.Drop.Token)
	if !drops && string(api.Encode(unlimited(from))) == string(api.Encode(unlimited(to))) {
		return api.ImpactNone
	}
	return api.ImpactRuntime
}

// unlimited returns a spec without limits and consents.
func unlimited(spec api.DBReplication) api.DBReplication {
	spec.MaxLag, spec.LagHold, spec.MinBinlogRetention, spec.Reseed, spec.Drop = 0, 0, 0, nil, nil
	return spec
}

// specOf returns the typed spec of what Validate returned.
func specOf(spec any) (api.DBReplication, error) {
	typed, ok := spec.(api.DBReplication)
	if !ok {
		return api.DBReplication{}, fmt.Errorf("the spec of a replication is a %T, not a %T", spec, typed)
	}
	return typed, nil
}
