//go:build lab

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// note is a note as the app gives it.
type note struct {
	ID     int    `json:"id"`
	Server string `json:"server"`
	Text   string `json:"text"`
}

// request asks the app for its notes from outside. It returns the answer, its
// status, and the machine whose database it is from.
func (s *stack) request(arguments ...string) (body, status, machine string) {
	s.t.Helper()
	out := s.lab.Client(append([]string{"curl", "-sS", "--max-time", "20", "-w", `\n%{http_code} %header{x-notes-kept-by}`, url + "notes"}, arguments...)...)
	body, end, _ := cutLast(out, "\n")
	status, machine, _ = strings.Cut(end, " ")
	return body, status, strings.TrimSpace(machine)
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// writes has the app keep a note, soon: its account may be new. It returns the
// machine whose database keeps it.
func (s *stack) writes(text string) (machine string) {
	s.t.Helper()
	s.soon("a note is not kept", func() (string, bool) {
		body, status, by := s.request("--json", fmt.Sprintf(`{"text": %q}`, text))
		machine = by
		return status + " " + body, status == "201"
	})
	return machine
}

// reads waits until the app shows a note, and returns the machine whose
// database has it.
func (s *stack) reads(text string) (machine string) {
	s.t.Helper()
	s.soon("the note is not read", func() (string, bool) {
		body, status, from := s.request()
		machine = from
		var notes []note
		err := json.Unmarshal([]byte(body), &notes)
		return status + " " + body, err == nil && slices.ContainsFunc(notes, func(n note) bool { return n.Text == text })
	})
	return machine
}

// soon fails the test unless a condition holds within half a minute; it says
// what was found last.
func (s *stack) soon(otherwise string, condition func() (found string, holds bool)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		found, holds := condition()
		if holds {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%s: %s", otherwise, found)
		}
	}
}

func TestNotesAreWrittenToThePrimaryAndReadFromTheReplica(t *testing.T) {
	s := newWholeStack(t)
	s.apply()
	s.settled()
	if kept, read := s.writes("first"), s.reads("first"); kept != "web1" || read != "web2" {
		t.Errorf("the note was kept on %q and read from %q, not web1 and web2", kept, read)
	}

	t.Log("without databases")
	for _, machine := range []string{"web1", "web2"} {
		s.lab.Exec(machine, "systemctl", "stop", "foobar-db-notes.service")
	}
	s.serves()
	for _, arguments := range [][]string{nil, {"--json", `{"text": "lost"}`}} {
		if body, status, _ := s.request(arguments...); status != "503" || !strings.Contains(body, `"detail":"`) {
			t.Errorf("without databases the app answers %s %s", status, body)
		}
	}
	s.apply()
	s.settled()
	s.writes("second")
	s.reads("second")

	t.Log("after a destroy")
	s.destroy()
	s.apply()
	s.settled()
	s.writes("third")
	for _, text := range []string{"first", "second", "third"} {
		s.reads(text)
	}
}
