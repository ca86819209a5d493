package api

import (
	"slices"
	"testing"
)

func TestPointer(t *testing.T) {
	tests := []struct {
		steps   []any
		pointer Pointer
	}{
		{nil, ""},
		{[]any{"backends", "web", "servers", "web1", "port"}, "/backends/web/servers/web1/port"},
		{[]any{"trusted_proxies", 0}, "/trusted_proxies/0"},
		{[]any{""}, "/"},
		{[]any{"a/b", "c~d"}, "/a~1b/c~0d"},
		{[]any{"~1"}, "/~01"}, // not "/": the order of the replacements matters
		{[]any{KindAppServer}, "/app-server"},
	}
	for _, test := range tests {
		if got := Pointer("").At(test.steps...); got != test.pointer {
			t.Errorf("At(%q) is %q, want %q", test.steps, got, test.pointer)
		}
	}
}

func TestPointerGoesOnFromAnother(t *testing.T) {
	if got := Pointer("/a").At("b").At(1); got != "/a/b/1" {
		t.Errorf("got %q", got)
	}
}

func FuzzPointerSteps(f *testing.F) {
	f.Add("a/b", "~1")
	f.Add("", "/")
	f.Fuzz(func(t *testing.T, a, b string) {
		if got := Pointer("").At(a, b).Steps(); !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q, %q came back as %q", a, b, got)
		}
	})
}

func TestStepsOfTheWholeDocument(t *testing.T) {
	if got := Pointer("").Steps(); got != nil {
		t.Errorf("got %q, want none", got)
	}
}
