package operation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
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
}

// secrets are the values that belong to a version.
type secrets struct {
	Version int64                 `json:"version"`
	Values  map[string]api.Secret `json:"values"`
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

// read returns the record of a component, nil if there is none.
func (s store) read(id api.ID) (*Record, error) {
	var r Record
	found, err := s.load(s.recordPath(id), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// secrets returns what is held for a component; its version is 0 if nothing is.
func (s store) secrets(id api.ID) (secrets, error) {
	var held secrets
	_, err := s.load(s.secretsPath(id), &held)
	return held, err
}

func (s store) load(path string, v any) (bool, error) {
	data, err := os.ReadFile(filepath.Join(s.root, path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}

// list returns the records of all components, in the order in which a machine
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
			r, err := s.read(api.ID{Kind: kind, Name: name})
			if err != nil {
				return nil, err
			}
			if r != nil {
				records = append(records, r)
			}
		}
	}
	return records, nil
}
