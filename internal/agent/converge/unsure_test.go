package converge_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
)

// TestAJournalThatIsDamagedBlocksNothing interrupts a change and damages its
// journal, or the copies that it keeps: nobody takes that for nothing, and the
// next transaction sets it right.
func TestAJournalThatIsDamagedBlocksNothing(t *testing.T) {
	for name, pattern := range map[string]string{"the journal": "journal.json", "its copies": "[0-9]*"} {
		for how, damage := range map[string]func(path string) error{
			"empty":   func(path string) error { return os.Truncate(path, 0) },
			"another": func(path string) error { return os.WriteFile(path, []byte("{}"), 0o600) },
			"gone to a directory": func(path string) error {
				if err := os.Remove(path); err != nil {
					return err
				}
				return os.Mkdir(path, 0o700)
			},
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				m := open(t, tempDir(t))
				from := m.apply(t, nil, pair("one"))
				ended := make(chan struct{})
				m.engine.Hook = func(step string) error {
					if step == "activate" {
						runtime.Goexit()
					}
					return nil
				}
				go func() {
					defer close(ended)
					_ = m.engine.Apply(t.Context(), m.transaction(from, pair("two")))
				}()
				<-ended
				m.engine.Hook = nil
				id := m.transaction(from, nil).Component
				dir := filepath.Join(m.root, m.engine.Dir, string(id.Kind), id.Name)
				files, err := filepath.Glob(filepath.Join(dir, pattern))
				if err != nil || len(files) == 0 {
					t.Fatalf("there is no %s: %v", pattern, err)
				}
				for _, path := range files {
					if err := damage(path); err != nil {
						t.Fatal(err)
					}
				}
				_, err = m.engine.Recover(t.Context(), func(converge.Interrupted) converge.Follow { return m.follow(from, nil) })
				if mark, why := m.engine.Unsure(id); err != nil || !strings.HasSuffix(mark, ".unsure") || !strings.Contains(why, "was damaged") {
					t.Errorf("after the start it is %q, %q, %v", mark, why, err)
				}
				state := filepath.Join(m.root, filepath.Dir(m.engine.Dir))
				if shown := statefile.Conditions(state, converge.Files()); len(shown) != 1 {
					t.Errorf("it is reported as %+v", shown)
				}
				m.apply(t, from, pair("two"))
				if unsure, _ := m.engine.Unsure(id); unsure != "" {
					t.Errorf("after the next change it is still unsure: %s", unsure)
				}
				if shown := statefile.Conditions(state, converge.Files()); len(shown) != 0 {
					t.Errorf("after the next change it is still reported: %+v", shown)
				}
			})
		}
	}
}
