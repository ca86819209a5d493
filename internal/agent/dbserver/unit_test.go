package dbserver

import (
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestADatabaseIsServedBeforeAnApp(t *testing.T) {
	text := string(renderUnit("main", "/leaf", api.DBServer{Engine: api.EngineMariaDB}).Content())
	for _, line := range []string{"CPUWeight=200", "IOWeight=200", "OOMScoreAdjust=-800"} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
