package operation

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// ticking is a clock that goes on by a second each time it is looked at.
func ticking() func() time.Time {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func reopen(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir, ticking())
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func begin(t *testing.T, j *journal, id string) {
	t.Helper()
	if _, err := j.begin(api.Operation{ID: id, Verb: api.VerbApply, Component: api.ID{Kind: api.KindLoadBalancer, Name: "www"}, State: api.OperationQueued, Runs: 1}); err != nil {
		t.Fatal(err)
	}
}

func TestEventsOutliveTheAgent(t *testing.T) {
	dir := t.TempDir()
	j := reopen(t, dir)
	begin(t, j, "op")
	j.event("op", api.PhaseCheck, "one")
	j.event("op", api.PhaseSwap, "two %d", 2)
	f, err := os.OpenFile(filepath.Join(dir, "op.events"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n" + `{"seq":3,"message":"cut sho`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	j = reopen(t, dir)
	j.event("op", api.PhaseCommit, "three")
	j = reopen(t, dir)
	events, done, _, ok := j.after("op", 1)
	if !ok || done || len(events) != 2 || events[0].Message != "two 2" || events[1].Seq != 3 || events[1].Message != "three" {
		t.Errorf("the events are %+v", events)
	}
	if unended := j.unended(); len(unended) != 1 || unended[0].ID != "op" {
		t.Errorf("unended is %+v", unended)
	}
}

// full has nothing be written in place of a file.
func full(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskIsNoReasonNotToStart(t *testing.T) {
	dir := t.TempDir()
	j := reopen(t, dir)
	begin(t, j, "op")
	j.event("op", api.PhaseCheck, "one")
	full(t, j.path("op"))
	full(t, j.eventsPath("op"))
	j = reopen(t, dir)
	if events, _, _, ok := j.after("op", 0); !ok || len(events) != 1 {
		t.Errorf("the events are %+v", events)
	}
}

func TestARunThatCannotBeWrittenDownDoesNotWait(t *testing.T) {
	j := reopen(t, t.TempDir())
	begin(t, j, "op")
	j.end("op", func(op *api.Operation) { op.State = api.OperationFailed })
	full(t, j.path("op"))
	if _, err := j.begin(api.Operation{ID: "op", State: api.OperationQueued, Runs: 2}); err == nil {
		t.Error("it began")
	}
	if op, _ := j.get("op"); op.State != api.OperationFailed || op.Runs != 1 {
		t.Errorf("the operation is %+v", op)
	}
}

func TestEventsAreARing(t *testing.T) {
	dir := t.TempDir()
	j := reopen(t, dir)
	begin(t, j, "op")
	const n = keepEvents + 10
	for i := range n {
		j.event("op", api.PhaseVerify, "%d", i+1)
	}
	for _, j := range []*journal{j, reopen(t, dir)} {
		events, _, _, _ := j.after("op", 0)
		if len(events) > keepEvents || len(events) < keepEvents/2 || events[len(events)-1].Seq != n {
			t.Errorf("%d events are kept, the last one is %+v", len(events), events[len(events)-1])
		}
		if later, _, _, _ := j.after("op", n-1); len(later) != 1 || later[0].Seq != n {
			t.Errorf("after the last but one there is %+v", later)
		}
		if later, _, _, _ := j.after("op", n); len(later) != 0 {
			t.Errorf("after the last there is %+v", later)
		}
	}
}

func TestOperationsAreForgottenInTheEnd(t *testing.T) {
	dir := t.TempDir()
	j := reopen(t, dir)
	begin(t, j, "runs")
	const n = keepOperations + 5
	for i := range n {
		id := fmt.Sprint("op-", i)
		begin(t, j, id)
		j.event(id, api.PhaseCheck, "at work")
		j.end(id, func(op *api.Operation) { op.State = api.OperationApplied })
	}
	for _, j := range []*journal{j, reopen(t, dir)} {
		if _, ok := j.get("op-0"); ok {
			t.Error("the oldest is remembered")
		}
		for _, id := range []string{"runs", fmt.Sprint("op-", n-1)} {
			if _, ok := j.get(id); !ok {
				t.Errorf("%s is forgotten", id)
			}
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 2*(keepOperations+2) {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}

func TestJudge(t *testing.T) {
	record := &Record{Operation: "op", Generation: 4}
	for name, test := range map[string]struct {
		op     api.Operation
		record *Record
		want   api.OperationState
	}{
		"committed":          {api.Operation{ID: "op", Verb: api.VerbApply, State: api.OperationRunning}, record, api.OperationApplied},
		"undone":             {api.Operation{ID: "other", Verb: api.VerbApply, State: api.OperationRunning}, record, api.OperationFailed},
		"undone creation":    {api.Operation{ID: "op", Verb: api.VerbApply, State: api.OperationRunning}, nil, api.OperationFailed},
		"committed deletion": {api.Operation{ID: "op", Verb: api.VerbDelete, State: api.OperationRunning}, nil, api.OperationApplied},
		"undone deletion":    {api.Operation{ID: "other", Verb: api.VerbDelete, State: api.OperationRunning}, record, api.OperationFailed},
		"never begun":        {api.Operation{ID: "op", Verb: api.VerbApply, State: api.OperationQueued}, record, api.OperationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			op := test.op
			decide(&op, test.record, nil)
			if op.State != test.want {
				t.Errorf("it ended as %s, want %s", op.State, test.want)
			}
			if failed := op.State == api.OperationFailed; failed != (op.Problem != nil && op.Problem.Type == api.ProblemInterrupted) {
				t.Errorf("the problem is %v", op.Problem)
			}
		})
	}
}

// TestWhatIsForgottenStaysSo: what an operation has replaced may end, and warn, long after
// the operation itself was forgotten.
func TestWhatIsForgottenStaysSo(t *testing.T) {
	for name, late := range map[string]func(r *Runner){
		"an event":            func(r *Runner) { r.progress("op")(api.PhaseCommit, "the old release has ended") },
		"a warning":           func(r *Runner) { r.warned("op")(api.Condition{Type: "AppKilled"}) },
		"an update":           func(r *Runner) { r.log.update("op", func(op *api.Operation) { op.Impact = api.ImpactRelease }) },
		"the end":             func(r *Runner) { r.log.end("op", func(op *api.Operation) { op.State = api.OperationApplied }) },
		"what is not ended":   func(r *Runner) { r.log.event("op", api.PhaseRollback, "it is not undone") },
		"of one never begun":  func(r *Runner) { r.progress("")(api.PhaseCommit, "the note is of another agent") },
		"a warning of no one": func(r *Runner) { r.warned("")(api.Condition{Type: "AppKilled"}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := reopen(t, dir)
			begin(t, j, "op")
			j.end("op", func(op *api.Operation) { op.State = api.OperationApplied })
			for i := range keepOperations {
				other := fmt.Sprint(i)
				begin(t, j, other)
				j.end(other, func(op *api.Operation) { op.State = api.OperationApplied })
			}
			begin(t, j, "last")
			if _, known := j.get("op"); known {
				t.Fatal("it is not forgotten")
			}
			late(&Runner{Config: Config{Logger: hclog.NewNullLogger()}, log: j})
			left, err := filepath.Glob(filepath.Join(dir, "op.*"))
			if _, known := j.get("op"); known || err != nil || len(left) > 0 {
				t.Errorf("it is known: %t, with %v, %v", known, left, err)
			}
		})
	}
}
