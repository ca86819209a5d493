package dbreplication

import (
	"os"
	"strings"
	"testing"
)

func TestWithHosts(t *testing.T) {
	const block = "# foobar: members of replication notes\n10.0.0.1\tweb1.prod.internal\n10.0.0.2\tweb2.prod.internal\n# foobar: end of replication notes\n"
	const moved = "# foobar: members of replication notes\n10.0.0.9\tweb1.prod.internal\n# foobar: end of replication notes\n"
	const foreign = "# foobar: members of replication other\n10.0.0.7\tdb.prod.internal\n# foobar: end of replication other\n"
	addresses := map[string]string{"web1.prod.internal": "10.0.0.1", "web2.prod.internal": "10.0.0.2"}
	for _, test := range []struct{ name, text, want string }{
		{"an empty file", "", block},
		{"what others wrote stays", "127.0.0.1 localhost\n" + foreign, "127.0.0.1 localhost\n" + foreign + block},
		{"a last line without an end", "127.0.0.1 localhost", "127.0.0.1 localhost\n" + block},
		{"the block there is exchanged", moved + "::1 localhost\n", "::1 localhost\n" + block},
		{"a block whose end is gone", strings.TrimSuffix(moved, "# foobar: end of replication notes\n") + "127.0.0.1 localhost\n", "127.0.0.1 localhost\n" + block},
		{"nothing to do", "127.0.0.1 localhost\n" + block, "127.0.0.1 localhost\n" + block},
	} {
		if got := withHosts(test.text, "notes", addresses); got != test.want {
			t.Errorf("%s: it became\n%s", test.name, got)
		}
	}
	if got := withHosts("a\n"+block, "notes", nil); got != "a\n" {
		t.Errorf("without members it became %q", got)
	}
}

func TestMembersAreFoundByName(t *testing.T) {
	b := newBay(t)
	text, err := os.ReadFile(b.Hosts)
	if err != nil || !strings.Contains(string(text), "10.0.0.2\tweb2.prod.internal\n") || strings.Contains(string(text), "lb1") {
		t.Errorf("the file is %q, %v", text, err)
	}
	if info, err := os.Stat(b.Hosts); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}
