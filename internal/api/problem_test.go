package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

func TestProblemText(t *testing.T) {
	tests := map[string]Problem{
		"Not valid":                    {Title: "Not valid"},
		"Not valid: look":              {Title: "Not valid", Detail: "look"},
		"Not valid; /a: is 0; is odd":  {Title: "Not valid", Violations: []Violation{{Pointer: "/a", Detail: "is 0"}, {Pointer: "", Detail: "is odd"}}},
		"Not valid; /a/b: is 70; look": {Title: "Not valid", Detail: "look", Violations: []Violation{{Pointer: "/a/b", Detail: "is 70"}}},
	}
	for want, problem := range tests {
		if got := problem.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAsProblemFindsWhatWasWrapped(t *testing.T) {
	wrapped := fmt.Errorf("apply www: %w", &Problem{Type: ProblemClaimed, Title: "The port is taken"})
	if got := AsProblem(wrapped); got.Type != ProblemClaimed {
		t.Errorf("wrapped: %+v", got)
	}
	if got := AsProblem(errors.New("disk full")); got.Type != ProblemInternal || got.Detail != "disk full" {
		t.Errorf("another error: %+v", got)
	}
	if got := AsProblem(nil); got != nil {
		t.Errorf("nil: %+v", got)
	}
	if !IsProblem(wrapped, ProblemClaimed) || IsProblem(wrapped, ProblemInvalid) || IsProblem(nil, ProblemInvalid) {
		t.Error("IsProblem does not tell the types apart")
	}
}

func TestViolationsBecomeOneProblem(t *testing.T) {
	var none Violations
	if err := none.Problem(); err != nil {
		t.Errorf("no violations: %v", err)
	}
	var some Violations
	some.Add("/port", "%d is too high", 70000)
	some.Add("/name", "is missing")
	problem := AsProblem(some.Problem())
	if problem.Type != ProblemInvalid || len(problem.Violations) != 2 || problem.Violations[0] != (Violation{Pointer: "/port", Detail: "70000 is too high"}) {
		t.Errorf("problem %+v", problem)
	}
}

func TestProblemCrossesTheWire(t *testing.T) {
	sent := Problem{Type: ProblemEngineRefused, Title: "HAProxy refuses", Violations: []Violation{{Pointer: "/a", Detail: "b"}}, Log: []string{"[ALERT]"}}
	var got Problem
	if err := json.Unmarshal(Encode(sent), &got); err != nil || got.Error() != sent.Error() || got.Type != sent.Type || got.Log[0] != sent.Log[0] {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEveryProblemTypeHasAStatus reads the constants from the source: a new
// type without a status of its own would silently be a 500.
func TestEveryProblemTypeHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	types, named := map[string]bool{}, map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if strings.HasPrefix(name.Name, "Problem") && len(n.Values) == 1 && name.Name != "ProblemContentType" {
					types[name.Name] = true
				}
			}
		case *ast.CaseClause:
			for _, e := range n.List {
				if name, ok := e.(*ast.Ident); ok {
					named[name.Name] = true
				}
			}
		}
		return true
	})
	if len(types) < 10 {
		t.Fatalf("found only %d types", len(types))
	}
	for name := range types {
		if !named[name] {
			t.Errorf("%s has no status", name)
		}
	}
	for typ, want := range map[ProblemType]int{
		ProblemInvalid: 422, ProblemNotFound: 404, ProblemExists: 409, ProblemCreating: 409, ProblemDeleting: 409, ProblemDamaged: 409, ProblemGeneration: 412, ProblemForbidden: 403,
		ProblemWrongMachine: 421, ProblemInternal: 500, "urn:foobar:problem:of-the-future": 500,
	} {
		if got := typ.Status(); got != want {
			t.Errorf("%s is %d, want %d", typ, got, want)
		}
	}
}
