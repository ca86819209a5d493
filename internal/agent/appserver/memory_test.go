package appserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// A plan warns of a limit of memory that bounds nothing.
func TestAPlanWarnsOfALimitOfAllMemory(t *testing.T) {
	for limit, c := range map[string]struct {
		meminfo string
		warns   bool
	}{
		"2G":    {"MemTotal:        2000000 kB\n", true},
		"1G":    {"MemTotal:        2000000 kB\n", false},
		"100%":  {"MemTotal:        2000000 kB\n", false}, // somebody who writes that knows it
		"1953M": {"MemTotal:        1999872 kB\n", true},
		"999G":  {"", false}, // the machine does not tell
	} {
		v := render(t, "notes", edited(specs()["socket"], func(s *api.AppServer) { s.Limits.Memory = limit }))
		f := newFake(t, v)
		if c.meminfo != "" {
			at := filepath.Join(f.root, "proc", "meminfo")
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(c.meminfo), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := f.kind().Preview(t.Context(), "notes", converge.Change{Name: "notes", To: &v})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, condition := range plan.Conditions {
			if condition.Type == "MemoryUnlimited" && condition.Pointer == "/limits/memory" {
				said = append(said, condition.Message)
			}
		}
		if warns := len(said) == 1 && strings.Contains(said[0], `such as "781M"`); warns != c.warns {
			t.Errorf("%s: the plan says %q", limit, said)
		}
	}
}
