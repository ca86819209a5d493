package operation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestConclude: a failure says once what failed, and what there is now.
func TestConclude(t *testing.T) {
	const back = "the change was undone: generation 1 runs again"
	late := timedOut(5 * time.Minute)
	ill := &api.Problem{Type: api.ProblemRolledBack, Title: "The app did not become healthy", Log: []string{"panic"},
		Violations: api.Violations{{Pointer: "/health_check", Detail: "last it answered 500"}}}
	cut := fmt.Errorf("restart shop: %w", late)
	down := &converge.DownError{Unit: "foobar-app-shop@blue.service"}
	held := &converge.HeldError{Down: down}
	for name, c := range map[string]struct {
		err, over error
		kind      api.ProblemType
		title     string
		want      string // the detail
	}{
		"a refusal":                       {ill, nil, api.ProblemRolledBack, ill.Title, ""},
		"a failure that was undone":       {&converge.UndoneError{Cause: ill}, nil, api.ProblemRolledBack, ill.Title, "The change was undone: generation 1 runs again"},
		"another one":                     {&converge.UndoneError{Cause: errors.New("it broke")}, nil, api.ProblemRolledBack, "The change was made, did not work, and was undone", "it broke. The change was undone: generation 1 runs again"},
		"late before anything":            {context.DeadlineExceeded, late, api.ProblemTimeout, "The operation ran out of time", "the operation did not end within its timeout of 5m; nothing was changed"},
		"late, and undone":                {&converge.UndoneError{Cause: context.DeadlineExceeded}, late, api.ProblemTimeout, "The operation ran out of time", "the operation did not end within its timeout of 5m; " + back},
		"late, in a step":                 {&converge.UndoneError{Cause: cut}, late, api.ProblemTimeout, "The operation ran out of time", "the operation did not end within its timeout of 5m: restart shop; " + back},
		"late, with a problem":            {&converge.UndoneError{Cause: errors.Join(late, ill)}, late, api.ProblemTimeout, "The operation ran out of time", "the operation did not end within its timeout of 5m: The app did not become healthy; " + back},
		"the agent's end":                 {&converge.UndoneError{Cause: context.Canceled}, context.Canceled, api.ProblemInterrupted, "The agent or the machine stopped in the middle", back},
		"the agent's end, in a step":      {fmt.Errorf("ask nginx: %w", context.Canceled), context.Canceled, api.ProblemInterrupted, "The agent or the machine stopped in the middle", "ask nginx; nothing was changed"},
		"what stands":                     {&converge.StandsError{Err: context.DeadlineExceeded}, late, api.ProblemTimeout, "The operation ran out of time", "the operation did not end within its timeout of 5m; what was done stands, and the next apply goes on from there"},
		"an undoing that failed":          {&converge.UndoneError{Cause: ill, Undo: errors.New("a link is stuck")}, nil, api.ProblemInternal, "The change failed, and it could not be undone completely", "a link is stuck"},
		"what served before does not run": {&converge.UndoneError{Cause: ill, Undo: down}, nil, api.ProblemInternal, "The change failed, and it could not be undone completely", "its files are as before, and its log may say why it ends"},
		"the new one goes on serving":     {&converge.UndoneError{Cause: ill, Undo: held}, nil, api.ProblemInternal, "The change failed, and it could not be undone completely", held.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			got := api.AsProblem(conclude(c.err, c.over, back))
			exact := !strings.HasPrefix(c.title, "The change failed")
			if got.Type != c.kind || got.Title != c.title || exact && got.Detail != c.want || !strings.Contains(got.Detail, c.want) {
				t.Errorf("it ends as %s, %q: %q", got.Type, got.Title, got.Detail)
			}
			if errors.Is(c.err, held) && strings.Contains(got.Detail, "its files are as before") {
				t.Errorf("of what goes on serving it says %q", got.Detail)
			}
			if errors.Is(c.err, ill) && (len(got.Violations) != 1 || len(got.Log) != 1) {
				t.Errorf("the cause is lost: %+v", got)
			}
			for _, once := range []string{late.Error(), "answered 500", ill.Title} {
				if strings.Count(got.Error(), once) > 1 {
					t.Errorf("it says %q more than once: %s", once, got)
				}
			}
		})
	}
}

func TestTheRemedyOfLostLinesIsAnAttributeOfItsKind(t *testing.T) {
	for kind, want := range map[api.Kind]bool{api.KindAppServer: true, api.KindLoadBalancer: false, api.KindDBServer: false} {
		if said := logLess(kind); strings.Contains(said, "logs.rate") != want {
			t.Errorf("of a %s it says %q", kind, said)
		}
	}
}

func TestAPurgeSaysWhatIsKeptOfOtherKinds(t *testing.T) {
	for kind, want := range map[api.Kind]string{
		api.KindLoadBalancer:  "a load balancer has no data",
		api.KindDBServer:      "remove /var/lib/foobar-db/notes as root",
		api.KindDBReplication: "each foobar_db_server keeps its data",
		"mail":                `of the kind "mail"`,
	} {
		if got := nothingToPurge(api.ID{Kind: kind, Name: "notes"}); !strings.Contains(got, want) {
			t.Errorf("of a %s it says %q", kind, got)
		}
	}
}
