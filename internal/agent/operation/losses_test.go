package operation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/operationtest"
)

func TestLostLinesAreAConditionOfAnyKind(t *testing.T) {
	m := start(t, t.TempDir())
	m.do(t, request("www", 0, operationtest.Spec{Port: 80}))
	read := func() string {
		c, err := m.Get(t.Context(), id("www"))
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, c := range c.Conditions {
			said = append(said, string(c.Severity)+" "+c.Type+": "+c.Message)
		}
		return strings.Join(said, "\n")
	}
	if said := read(); said != "" {
		t.Errorf("without a loss there is %s", said)
	}
	state, err := m.kind.Render("www", operationtest.Spec{Port: 80}, nil, converge.InPlace{})
	if err != nil || len(state.Units) == 0 {
		t.Fatalf("units %v, %v", state.Units, err)
	}
	for lines, want := range map[int64]string{
		1: "info LogsDropped: 1 line of ", 99: "info LogsDropped: 99 lines of ",
		100: "warning LogsDropped: 100 lines of ", 178000: "warning LogsDropped: 178000 lines of ",
	} {
		m.lost[state.Units[0].Name] = logs.Loss{Lines: lines, Last: time.Now()}
		if said := read(); !strings.HasPrefix(said, want+state.Units[0].Name) || !strings.Contains(said, " than journald takes. Have it log less. This ends") || strings.Contains(said, "logs.rate") {
			t.Errorf("of a loss it says %q", said)
		}
	}
}
