package replication_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// fixture is a snapshot and a goal. In its records the specification "current"
// stands for the desired one's.
type fixture struct {
	Snapshot replication.Snapshot `json:"snapshot"`
	Goal     replication.Goal     `json:"goal"`
}

func read(t *testing.T, path string) fixture {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	var f fixture
	if err := decoder.Decode(&f); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	current := func(r replication.Record) replication.Record {
		if r.Spec == "current" {
			r.Spec = f.Snapshot.Desired.Hash()
		}
		return r
	}
	for id, node := range f.Snapshot.Nodes {
		node.Record = current(node.Record)
		f.Snapshot.Nodes[id] = node
	}
	for id, witness := range f.Snapshot.Witnesses {
		witness.Record = current(witness.Record)
		f.Snapshot.Witnesses[id] = witness
	}
	return f
}

// describe writes findings and plan as a person reads them.
func describe(f fixture) string {
	var b strings.Builder
	for _, finding := range replication.Analyze(f.Snapshot) {
		kind := "condition"
		if finding.Repaired {
			kind = "drift"
		}
		fmt.Fprintf(&b, "%s %s %s %s: %s\n    -> %s\n", finding.Severity, kind, finding.Code, finding.Node, finding.Detail, finding.Next)
	}
	steps, err := replication.Plan(f.Snapshot, f.Goal)
	var refusal *replication.Refusal
	if errors.As(err, &refusal) {
		fmt.Fprintf(&b, "refused (%s) %v: %s\n    -> %s\n", refusal.Reason, refusal.Nodes, refusal.Detail, refusal.Next)
	} else if err != nil {
		fmt.Fprintf(&b, "an error that is no refusal: %v\n", err)
	}
	for _, step := range steps {
		fmt.Fprintf(&b, "%s: %s; until %s, within %s", step.ID, step.Do, step.Verify.Is, step.Deadline)
		if step.Do.Consent != "" {
			fmt.Fprintf(&b, "; by consent %s", step.Do.Consent)
		}
		if step.Undo != nil {
			fmt.Fprintf(&b, "; taken back by: %s", *step.Undo)
		}
		if step.PointOfNoReturn {
			b.WriteString("; point of no return")
		}
		b.WriteString("\n")
	}
	if b.Len() == 0 {
		return "all is well\n"
	}
	return b.String()
}

// TestGolden holds what is found in each fixture, and what would be done.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			golden.Compare(t, strings.TrimSuffix(filepath.Base(path), ".json")+".golden", describe(read(t, path)))
		})
	}
}
