package operation

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Record is what is kept of an applied component.
type Record struct {
	api.ID
	// Generation counts the applied operations, from 1.
	Generation int64 `json:"generation"`
	// Spec is what was applied, Hash its SHA-256.
	Spec json.RawMessage `json:"spec"`
	Hash string          `json:"hash"`
	// Applied is what was put in place for it.
	Applied   converge.Applied `json:"applied"`
	AppliedAt time.Time        `json:"applied_at"`
	Actor     string           `json:"actor"`
	// Ownership tells whose it is.
	Ownership api.Ownership `json:"ownership"`
	// Operation is the id of the operation that applied it, Run which of its
	// runs did, from 1.
	Operation string `json:"operation"`
	Run       int    `json:"run"`
	// SecretsVersion is the version of the secrets that are held for it.
	SecretsVersion int64 `json:"secrets_version"`
	// Earlier is the spec before this one, nil if there was none.
	Earlier *Earlier `json:"earlier,omitempty"`
	// RolledBack tells that the spec is not what was applied last, but what an operator
	// has gone back to; nil otherwise.
	RolledBack *RolledBack `json:"rolled_back,omitempty"`

	// lost is why the record cannot be read, nil if it can. Nothing but the
	// component's id is known then.
	lost *statefile.Damaged
}

// secrets are the values that belong to a version.
type secrets struct {
	Version int64                 `json:"version"`
	Values  map[string]api.Secret `json:"values"`
}

// give has a version know the values, if they are its own.
func (s secrets) give(v *converge.Version) {
	if v == nil || s.Version == 0 || rawSecretsVersion(api.Encode(v.Spec)) != s.Version {
		return
	}
	v.Secrets = s.Values
}

// store reads what transactions have written. Writing is theirs alone, so that
// a record changes with the files that it tells of, or not at all.
type store struct{ root, dir string }

func (s store) recordPath(id api.ID) string {
	return filepath.Join(s.dir, "components", string(id.Kind), id.Name+".json")
}

func (s store) secretsPath(id api.ID) string {
	return filepath.Join(s.dir, "secrets", string(id.Kind), id.Name+".json")
}

// read returns the record of a component, nil if there is none. A damaged one
// is returned as lost and never as none: what was applied is still there.
func (s store) read(id api.ID) *Record {
	var r Record
	path := filepath.Join(s.root, s.recordPath(id))
	found, err := statefile.ReadJSON(path, &r, func() error { return checkRecord(path, r) })
	if lost := statefile.As(err); lost != nil {
		return &Record{ID: id, lost: lost}
	}
	if !found {
		return nil
	}
	return &r
}

// secrets returns what is held for a component; its version is 0 if nothing is,
// or if it is damaged: an apply sends the values again.
func (s store) secrets(id api.ID) (secrets, *statefile.Damaged) {
	var held secrets
	path := filepath.Join(s.root, s.secretsPath(id))
	_, err := statefile.ReadJSON(path, &held, func() error { return checkSecrets(path, held) })
	if lost := statefile.As(err); lost != nil {
		return secrets{}, lost
	}
	return held, nil
}

// list returns the records of all components, also of those that are lost, in the order in which a machine
// starts their kinds, then by name.
func (s store) list() ([]*Record, error) {
	var records []*Record
	for _, kind := range api.Kinds() {
		found, err := filepath.Glob(filepath.Join(s.root, s.recordPath(api.ID{Kind: kind, Name: "*"})))
		if err != nil {
			return nil, fmt.Errorf("list the components: %w", err)
		}
		for _, path := range found {
			name := filepath.Base(path[:len(path)-len(".json")])
			if r := s.read(api.ID{Kind: kind, Name: name}); r != nil {
				records = append(records, r)
			}
		}
	}
	return records, nil
}
