package dbreplication

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// TestJudgement holds what the agent's API tells of each fixture of package
// replication: drift, conditions, what is refused where, and the states.
func TestJudgement(t *testing.T) {
	paths, err := filepath.Glob("../../replication/testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	var b strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&b, "== %s\n", strings.TrimSuffix(filepath.Base(path), ".json"))
		rendered(t, &b, path)
	}
	golden.Compare(t, "report.golden", b.String())
}

func rendered(t *testing.T, b *strings.Builder, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var fixture struct {
		Snapshot replication.Snapshot `json:"snapshot"`
		Goal     replication.Goal     `json:"goal"`
	}
	if err := json.Unmarshal(raw, &fixture); err != nil {
		t.Fatal(err)
	}
	s := fixture.Snapshot
	current := func(r replication.Record) replication.Record {
		if r.Spec == "current" {
			r.Spec = s.Desired.Hash()
		}
		return r
	}
	for id, view := range s.Nodes {
		view.Record = current(view.Record)
		s.Nodes[id] = view
	}
	for id, view := range s.Witnesses {
		view.Record = current(view.Record)
		s.Witnesses[id] = view
	}
	spec := api.DefaultDBReplication()
	spec.Primary = string(s.Desired.Primary)
	for id := range s.Desired.Members {
		spec.Members[string(id)] = api.DBMember{}
	}
	for _, id := range s.Desired.Witnesses {
		spec.Witnesses[string(id)] = api.DBPeer{}
	}
	drift, conditions := report(spec, replication.Analyze(s))
	for _, key := range slices.Sorted(maps.Keys(drift)) {
		fmt.Fprintf(b, "drift %s %v: %s\n", key, drift[key].Pointers, drift[key].Detail)
	}
	for _, c := range conditions {
		fmt.Fprintf(b, "%s %s %s: %s\n", c.Severity, c.Type, c.Pointer, c.Message)
	}
	_, err = replication.Plan(s, fixture.Goal)
	if problem, ok := errors.AsType[*api.Problem](problemOf(spec, err)); ok {
		fmt.Fprintf(b, "refused: %v\n", problem)
	} else if err != nil {
		t.Errorf("%s: %v is no problem", path, err)
	}
	status := statusOf(s)
	var states []string
	for _, name := range slices.Sorted(maps.Keys(status.Members)) {
		m := status.Members[name]
		lag := ""
		if m.LagMilliseconds != nil {
			lag = fmt.Sprintf(", lag %d ms", *m.LagMilliseconds)
		}
		states = append(states, fmt.Sprintf("%s %s %s%s", name, m.Role, m.State, lag))
	}
	fmt.Fprintf(b, "status: primary %q of epoch %d, writable %v: %s\n\n", status.CurrentPrimary, status.Epoch, status.Writable, strings.Join(states, "; "))
}

func TestMessages(t *testing.T) {
	for next, want := range map[string]string{
		"an apply fences it":                 "web2: is open. An apply fences it.",
		"foobar-agent status on it says why": "web2: is open. foobar-agent status on it says why.",
		`reseed = { node = "web2" }`:         `web2: is open. reseed = { node = "web2" }.`,
		"":                                   "web2: is open.",
	} {
		if got := messageOf(replication.Finding{Node: "web2", Detail: "is open", Next: next}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := problemOf(api.DBReplication{}, os.ErrNotExist); err != os.ErrNotExist { //nolint:errorlint // the very same
		t.Errorf("another error became %v", err)
	}
	if problemOf(api.DBReplication{}, nil) != nil {
		t.Error("no error became one")
	}
}
