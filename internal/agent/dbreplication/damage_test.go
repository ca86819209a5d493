package dbreplication

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// damage makes a file of a machine's part unreadable.
func (r *rack) damage(machine, file string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.machines[machine].node.Dir("notes"), file), []byte("{"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// TestAConsentIsNotUsedAgainWhenItIsNotKnown damages the book of used consents:
// what was consented to is not done again, what is consented to anew is.
func TestAConsentIsNotUsedAgainWhenItIsNotKnown(t *testing.T) {
	for _, file := range []string{consentsFile, journalFile} {
		t.Run(file, func(t *testing.T) {
			r := newRack(t, "web1", "web2")
			spec := r.spec("web2")
			spec.Reseed = &api.DBReseed{Node: "web2", Token: "today"}
			spec.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "today"}
			r.must(nil, &spec)
			r.boot("web1")
			r.damage("web1", file)
			db := r.machines["web2"].rackDB
			db.data.Errant = true
			r.machines["web1"].data.Databases = append(r.machines["web1"].data.Databases, "old")

			if drift, _, _ := r.observe(spec); !slices.ContainsFunc([]string{driftConsents, driftUnfinished}, func(key string) bool {
				return strings.Contains(drift[key].Detail, file)
			}) {
				t.Errorf("the drift is %v", drift)
			}
			if _, err := r.apply(t.Context(), &spec, &spec); err != nil {
				t.Fatal(err)
			}
			if !db.data.Errant || !slices.Contains(r.machines["web1"].data.Databases, "old") {
				t.Error("a consent was used again")
			}
			if drift, _, _ := r.observe(spec); len(drift) > 0 {
				t.Errorf("after the apply the drift is %v", drift)
			}
			again := spec
			again.Reseed = &api.DBReseed{Node: "web2", Token: "tomorrow"}
			if _, err := r.apply(t.Context(), &spec, &again); err != nil || db.data.Errant {
				t.Errorf("another token does not count: %v", err)
			}
		})
	}
}

// TestAReplicaIsGivenItsPasswordAgain damages the note of which one it uses: it
// follows again, and the note is there again.
func TestAReplicaIsGivenItsPasswordAgain(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	r.must(nil, &spec)
	r.damage("web2", followedFile)
	if drift, conditions, _ := r.observe(spec); len(drift) == 0 {
		t.Errorf("no drift, conditions %v", conditions)
	}
	r.must(&spec, &spec)
}
