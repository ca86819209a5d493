package gtid_test

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

func parse(t *testing.T, text string) gtid.Set {
	t.Helper()
	set, err := gtid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestParseWritesWhatItRead(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{" \n", ""},
		{"0-1-42", "0-1-42"},
		{"1-2-7,0-1-42", "0-1-42,1-2-7"},
		{"0-1-42, 0-2-43,\n1-1-1", "0-1-42,0-2-43,1-1-1"},
		{"0-1-41,0-1-42", "0-1-42"},
		{"4294967295-4294967295-18446744073709551615", "4294967295-4294967295-18446744073709551615"},
	} {
		if got := parse(t, test.text).String(); got != test.want {
			t.Errorf("%q became %q, want %q", test.text, got, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"0-1", "0-1-2-3", "0-1-x", "0-1--2", "-1-1-1", "4294967296-1-1", "0-1-18446744073709551616", "0-1-2,", ",", "0-1-2;0-1-3", "3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5"} {
		if set, err := gtid.Parse(text); err == nil {
			t.Errorf("%q was read as %s", text, set)
		}
	}
}

func TestMissing(t *testing.T) {
	for _, test := range []struct{ name, replica, source, want string }{
		{"the same", "0-1-42", "0-1-42", ""},
		{"behind", "0-1-41", "0-1-42", ""},
		{"nothing of anything", "", "0-1-42", ""},
		{"ahead", "0-1-43", "0-1-42", "0-1-43"},
		{"a write of its own", "0-1-42,0-2-43", "0-1-42", "0-2-43"},
		{"a write of its own that the sequence has passed", "0-1-42,0-2-43", "0-1-50", "0-2-43"},
		{"a write of a former primary", "0-1-42,0-2-43", "0-1-40,0-2-43,0-1-44", ""},
		{"a domain of its own", "0-1-42,9-2-1", "0-1-42", "9-2-1"},
	} {
		if got := parse(t, test.replica).Missing(parse(t, test.source)).String(); got != test.want {
			t.Errorf("%s: %s without %s is %q, want %q", test.name, test.replica, test.source, got, test.want)
		}
	}
}

func TestPosition(t *testing.T) {
	for _, test := range []struct{ history, want string }{
		{"", ""},
		{"0-1-42,0-2-43", "0-2-43"},
		{"0-1-44,0-2-43,1-2-7", "0-1-44,1-2-7"},
	} {
		if got := parse(t, test.history).Position().String(); got != test.want {
			t.Errorf("%s stands at %q, want %q", test.history, got, test.want)
		}
	}
}

func TestReachedAndCanFollow(t *testing.T) {
	for _, test := range []struct {
		name, at, goal  string
		reached, follow bool
	}{
		{"the same", "0-1-42", "0-1-42", true, true},
		{"further, written by another", "0-2-43", "0-1-42", true, true},
		{"not yet", "0-1-41", "0-1-42", false, false},
		{"a domain is missing", "0-1-42", "0-1-42,1-1-1", false, false},
		{"nothing was asked", "0-1-42", "", true, true},
		{"an empty set is never caught up", "", "", true, false},
	} {
		at, goal := parse(t, test.at), parse(t, test.goal)
		if got := at.Reached(goal); got != test.reached {
			t.Errorf("%s: Reached is %v", test.name, got)
		}
		if got := at.CanFollow(goal); got != test.follow {
			t.Errorf("%s: CanFollow is %v", test.name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "0-1-42", "0-1-42,1-2-7", "0-1-", "a-b-c", "0-1-2,,"} {
		f.Add(seed, "0-1-41,0-2-40")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		a, err := gtid.Parse(one)
		if err != nil {
			return
		}
		again, err := gtid.Parse(a.String())
		if err != nil || !again.Equal(a) {
			t.Fatalf("%q is written as %q, which reads as %s, %v", one, a, again, err)
		}
		b, err := gtid.Parse(other)
		if err != nil {
			return
		}
		both := a.Union(b)
		if !a.Missing(both).Empty() || !b.Missing(both).Empty() || !both.Position().Reached(a.Position()) {
			t.Fatalf("%s and %s are not within their union %s", a, b, both)
		}
		if !a.Missing(a).Empty() || a.Missing(b).Empty() && !b.Reached(a) {
			t.Fatalf("%s and %s: a subset is reached", a, b)
		}
	})
}
