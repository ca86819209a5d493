package appserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestADrainSaysWhoAndTheWayBack(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	k, l := f.kind(), layout{"notes"}
	conditions := func() string {
		t.Helper()
		seen, err := k.Observe(t.Context(), "notes", v)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen.Conditions) == 0 {
			return ""
		}
		return seen.Conditions[0].Type + " " + seen.Conditions[0].Message
	}
	if _, err := k.Drain("notes", "root"); !api.IsProblem(err, api.ProblemInvalid) || !strings.Contains(err.Error(), "nginx of notes does not run") {
		t.Errorf("without nginx: %v", err)
	}
	if before, err := k.Undrain("notes"); before != nil || err != nil {
		t.Errorf("of what is not drained: %v, %v", before, err)
	}
	f.write(l.nginxRuntimeDir()+"/nginx.pid", "1", 0o600)
	if before, err := k.Drain("notes", "uid 0 on the machine"); before != nil || err != nil {
		t.Fatal(before, err)
	}
	f.clock.now = f.clock.now.Add(time.Hour)
	if before, err := k.Drain("notes", "another"); err != nil || before == nil || before.String() != "since 1970-01-01 00:16:40 UTC, by uid 0 on the machine" { // which stays
		t.Fatal(before, err)
	}
	for _, want := range []string{"Draining", "1970-01-01 00:16:40 UTC by uid 0 on the machine", "foobar-agent undrain app-server/notes"} {
		if got := conditions(); !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	// What nginx's account writes there is no order to a terminal, and not endless.
	for content, want := range map[string]string{
		"": "with the file /run/foobar-app-notes-nginx/drain", strings.Repeat("x", 1<<20): "with the file",
		`{"by":"\u001b[2J` + strings.Repeat("y", 500) + `","at":"2026-01-01T00:00:00Z"}`: `by \x1b[2Jyyy`,
	} {
		f.write(l.drainFile(), content, 0o644)
		if got := conditions(); !strings.Contains(got, want) || len(got) > 400 {
			t.Errorf("no %q in %q", want, got)
		}
		if before, err := k.Drain("notes", "root"); err != nil || before == nil || len(before.String()) > 200 {
			t.Errorf("drained twice, with %.20q before it is %v, %v", content, before, err)
		}
	}
	if before, err := k.Undrain("notes"); before == nil || err != nil {
		t.Fatal(before, err)
	}
	if got := conditions(); got != "" {
		t.Errorf("after the end: %s", got)
	}
}

// The directory is nginx's own: a link in the file's place is replaced, not followed.
func TestADrainFollowsNoLink(t *testing.T) {
	f := newFake(t, render(t, "notes", specs()["socket"]))
	l := layout{"notes"}
	victim := filepath.Join(f.root, "victim")
	f.write("/victim", "precious", 0o644)
	f.write(l.nginxRuntimeDir()+"/nginx.pid", "1", 0o600)
	for _, name := range []string{"drain", "drain.tmp"} {
		if err := os.Symlink(victim, filepath.Join(f.root, l.nginxRuntimeDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.kind().Drain("notes", "root"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(filepath.Join(f.root, l.drainFile()))
	if content, readErr := os.ReadFile(victim); err != nil || readErr != nil || string(content) != "precious" || !info.Mode().IsRegular() {
		t.Errorf("the victim is %q (%v), the file %v (%v)", content, readErr, info, err)
	}
}
