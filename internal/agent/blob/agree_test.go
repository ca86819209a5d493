package blob

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// The same artifacts are given to the provider in
// TestBrokenArtifactsAreErrorsOfThePlan.
func TestUnpackAgreesWithThePlan(t *testing.T) {
	for _, c := range artifacttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "tree")
			manifest, err := Unpack(t.Context(), bytes.NewReader(c.Content), dir, Limits{Bytes: artifacttest.MaxBytes})
			if c.Want != "" {
				if err == nil || !strings.Contains(err.Error(), c.Want) {
					t.Errorf("it ends with %v, want %q", err, c.Want)
				}
				if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
					t.Errorf("left is %v, %v", left, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("a good artifact is refused: %v", err)
			}
			if differences, err := manifest.Compare(t.Context(), dir); err != nil || len(differences) > 0 {
				t.Errorf("the tree is not its manifest: %v, %v", differences, err)
			}
			checkTree(t, dir)
		})
	}
}
