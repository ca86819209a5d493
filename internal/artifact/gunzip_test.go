package artifact_test

import (
	"bytes"
	"io"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
)

// repeated is a reader of one text many times over, without the room for it.
type repeated struct {
	text  []byte
	count int
	rest  []byte
}

func (r *repeated) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.count == 0 {
			return 0, io.EOF
		}
		r.count, r.rest = r.count-1, r.text
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// An artifact of members that hold nothing neither costs stack nor goes on
// without an end.
func TestMembersThatAreEmpty(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20)) // a Read that calls itself for each member ends the test
	empty, whole := artifacttest.Gzip(nil), artifacttest.Pack(artifacttest.File("a", "x"))
	for name, test := range map[string]struct {
		members int
		want    string
	}{
		"many":     {artifact.MaxMembers - 1, ""},
		"too many": {artifact.MaxMembers, "has more than 131072 gzip members"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifact.Check(t.Context(), io.MultiReader(&repeated{text: empty, count: test.members}, bytes.NewReader(whole)), limits())
			switch _, bad := err.(*artifact.Error); { //nolint:errorlint // it is not wrapped
			case test.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case test.want != "" && (!bad || !strings.Contains(err.Error(), test.want)):
				t.Errorf("it ends with %v", err)
			}
		})
	}
}
