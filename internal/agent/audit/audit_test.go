package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func entry(n int) api.AuditEntry {
	return api.AuditEntry{
		Time:  time.Date(2026, 5, 1, 12, 0, n, 0, time.UTC),
		Actor: "terraform@ci", Role: api.RoleAdmin, Peer: "10.0.0.9:50112",
		Method: "PUT", Path: fmt.Sprintf("/v1/load-balancer/www%d", n), Status: 202,
		Operation: "0123456789abcdef",
	}
}

// filled returns the directory of a closed log with n entries.
func filled(t *testing.T, n int, maxBytes int64) string {
	t.Helper()
	dir := t.TempDir()
	log := mustOpen(t, dir, maxBytes)
	for i := range n {
		if err := log.Append(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustOpen(t *testing.T, dir string, maxBytes int64) *Log {
	t.Helper()
	log, err := open(filepath.Join(dir, FileName), maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func verify(t *testing.T, dir string) Report {
	t.Helper()
	report, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func seqs(entries []api.AuditEntry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%d ", e.Seq)
	}
	return strings.TrimSpace(b.String())
}

func TestEntriesAreNumberedChainedAndReadBack(t *testing.T) {
	log := mustOpen(t, filled(t, 3, MaxBytes), MaxBytes)
	entries, err := log.After(0)
	if err != nil {
		t.Fatal(err)
	}
	if got := seqs(entries); got != "1 2 3" {
		t.Fatalf("entries %s, want 1 2 3", got)
	}
	if entries[0].Previous != "" || entries[1].Previous != entries[0].Hash || entries[2].Previous != entries[1].Hash {
		t.Error("the entries do not hold each other's hashes")
	}
	want := entry(1)
	want.Seq, want.Previous, want.Hash = 2, entries[1].Previous, entries[1].Hash
	if entries[1] != want {
		t.Errorf("read back %+v, want %+v", entries[1], want)
	}
	if entries, _ = log.After(2); seqs(entries) != "3" {
		t.Errorf("after 2: %s, want 3", seqs(entries))
	}
}

func TestLogIsReadableByItsOwnerOnly(t *testing.T) {
	info, err := os.Stat(filepath.Join(filled(t, 1, MaxBytes), FileName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

func TestReadIsBounded(t *testing.T) {
	log := mustOpen(t, filled(t, MaxRead+1, MaxBytes), MaxBytes)
	entries, err := log.After(0)
	if err != nil || len(entries) != MaxRead {
		t.Errorf("%d entries, %v; want %d", len(entries), err, MaxRead)
	}
}

func TestChainGoesOnAfterReopen(t *testing.T) {
	dir := filled(t, 2, MaxBytes)
	if err := mustOpen(t, dir, MaxBytes).Append(entry(3)); err != nil {
		t.Fatal(err)
	}
	report := verify(t, dir)
	if report.Faults != nil || report.Entries != 3 || report.Last.Seq != 3 {
		t.Errorf("report %+v, want 3 entries and no fault", report)
	}
}

func TestRotationKeepsOneOlderFileAndTheChain(t *testing.T) {
	dir := filled(t, 20, 1500) // some four entries to a file
	report := verify(t, dir)
	if report.Faults != nil {
		t.Errorf("faults after rotation: %v", report.Faults)
	}
	if report.Last.Seq != 20 || report.Entries >= 20 {
		t.Errorf("%d entries up to number %d, want fewer than 20 up to 20", report.Entries, report.Last.Seq)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v; want 2", len(files), err)
	}
}

func TestTornLastLineIsCutOff(t *testing.T) {
	dir := filled(t, 3, MaxBytes)
	path := filepath.Join(dir, FileName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
	for length := start + 1; length < len(data); length++ {
		if err := os.WriteFile(path, data[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		log := mustOpen(t, dir, MaxBytes)
		if log.Faults() != nil {
			t.Fatalf("torn at byte %d: %v", length-start, log.Faults())
		}
		if err := log.Append(entry(9)); err != nil {
			t.Fatal(err)
		}
		if report := verify(t, dir); report.Faults != nil || report.Last.Seq != 3 {
			t.Fatalf("torn at byte %d: %+v", length-start, report)
		}
	}
}

// A power loss may tear the first line of a file, whether it is the log's first one
// or one that a rotation began. That is no damage.
func TestTornFirstLineIsCutOff(t *testing.T) {
	for name, before := range map[string]int{"of a new log": 0, "after a rotation": 3} {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, before+1, MaxBytes)
			path := filepath.Join(dir, FileName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			start := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
			if before > 0 {
				if err := os.WriteFile(path+OldSuffix, data[:start], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, length := range []int{1, (len(data) - start) / 2, len(data) - start - 1} {
				if err := os.WriteFile(path, data[start:start+length], 0o600); err != nil {
					t.Fatal(err)
				}
				log := mustOpen(t, dir, MaxBytes)
				if shown := statefile.Conditions(dir, Files()); shown != nil || log.Faults() != nil {
					t.Fatalf("torn at byte %d it is reported as damage: %+v, %v", length, shown, log.Faults())
				}
				if err := log.Append(entry(9)); err != nil {
					t.Fatal(err)
				}
				if report := verify(t, dir); report.Faults != nil || report.Last.Seq != int64(before+1) {
					t.Fatalf("torn at byte %d: %+v", length, report)
				}
			}
		})
	}
}

// What is longer than an entry was not torn off one: it is kept as evidence.
func TestFileWithoutALineIsSetAside(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), bytes.Repeat([]byte("x"), maxLine+1), 0o600); err != nil {
		t.Fatal(err)
	}
	log := mustOpen(t, dir, MaxBytes)
	if shown := statefile.Conditions(dir, Files()); len(shown) != 1 || !strings.Contains(shown[0].Message, FileName) {
		t.Errorf("conditions %+v", shown)
	}
	if err := log.Append(entry(1)); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Faults != nil || report.Entries != 1 {
		t.Errorf("report %+v, want one entry and no fault", report)
	}
}

func TestTamperingIsNoticed(t *testing.T) {
	replace := func(old, new string) func([]string) []string {
		return func(lines []string) []string {
			lines[2] = strings.Replace(lines[2], old, new, 1)
			return lines
		}
	}
	tests := map[string]struct {
		edit func(lines []string) []string
		want string // in the first fault
	}{
		"another actor":     {replace("terraform@ci", "somebody"), "audit.log line 3 was changed"},
		"another status":    {replace(":202", ":403"), "audit.log line 3 was changed"},
		"another hash":      {replace(`"hash":"`, `"hash":"0`), "audit.log line 3 does not end in its hash"},
		"no entry":          {func(l []string) []string { l[2] = "{"; return l }, "audit.log line 3 is no entry"},
		"a line removed":    {func(l []string) []string { return append(l[:2], l[3:]...) }, "has number 4 after number 2"},
		"two lines swapped": {func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }, "has number 4 after number 2"},
		"a line repeated":   {func(l []string) []string { return append(l[:3], l[2:]...) }, "has number 3 after number 3"},
		"a forged line": {func(l []string) []string {
			e := entry(7)
			e.Seq = 3
			l[2] = string(encode(&e))
			return l
		}, "line 3 does not hold the hash"},
		"a forged beginning": {func([]string) []string {
			e := entry(7)
			e.Seq, e.Previous = 1, "00"
			return []string{string(encode(&e))}
		}, "is the first entry but names one before"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filled(t, 5, MaxBytes)
			path := filepath.Join(dir, FileName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			lines := test.edit(strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"))
			if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			faults := verify(t, dir).Faults
			if len(faults) == 0 || !strings.Contains(faults[0].Error(), test.want) {
				t.Fatalf("faults %v, want one with %q", faults, test.want)
			}
			log := mustOpen(t, dir, MaxBytes)
			if len(log.Faults()) != len(faults) {
				t.Errorf("an opened log tells of %d faults, want %d", len(log.Faults()), len(faults))
			}
			if err := log.Append(entry(9)); err != nil {
				t.Errorf("a tampered log takes no more entries: %v", err)
			}
			if again := verify(t, dir).Faults; len(again) != len(faults) {
				t.Errorf("the entry after the tampering is a fault: %v", again)
			}
		})
	}
}

func TestEntriesFromManyCallersFormOneChain(t *testing.T) {
	dir := t.TempDir()
	log := mustOpen(t, dir, MaxBytes)
	done := make(chan error)
	for i := range 8 {
		go func() { done <- log.Append(entry(i)) }()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if report := verify(t, dir); report.Faults != nil || report.Entries != 8 {
		t.Errorf("report %+v, want 8 entries and no fault", report)
	}
}
