package converge

import (
	"io/fs"
	"reflect"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestText(t *testing.T) {
	var text Text
	text.Own("# ours", "one\ntwo")
	text.From("/a", "a = %d%%", 7)
	text.From("", "b")
	text.From("/c/0", "c\n%s", "d")
	text.Own("end")
	want := File{
		Path: "/etc/file", Mode: 0o640, Owner: "root", Group: "root",
		Content: []byte("# ours\none\ntwo\na = 7%\nb\nc\nd\nend\n"),
		Sources: map[int]api.Pointer{4: "/a", 6: "/c/0", 7: "/c/0"},
	}
	if got := text.File("/etc/file", fs.FileMode(0o640)); !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v, want %+v", got, want)
	}
}

func TestTextGivesAwayNoBuffer(t *testing.T) {
	var text Text
	text.Own("one")
	first := text.Content()
	first[0] = 'O'
	text.Own("two")
	if got := string(text.Content()); got != "one\ntwo\n" {
		t.Errorf("it is %q", got)
	}
}
