package appserver

import (
	"syscall"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/unixdiag"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestAShortBacklogIsAWarning of an app on a socket that has become healthy.
func TestAShortBacklogIsAWarning(t *testing.T) {
	for name, c := range map[string]struct {
		spec    string
		backlog int
		err     error
		want    string
	}{
		"Python's default":       {spec: "socket", backlog: 5, want: "The app lets 5 connections wait at its socket"},
		"one below":              {spec: "socket", backlog: 127, want: "with a backlog of 128 or more: request_queue_size"},
		"enough":                 {spec: "socket", backlog: 128},
		"what cannot be read":    {spec: "socket", err: syscall.EPERM},
		"a socket that is gone":  {spec: "socket", err: unixdiag.ErrNoSocket},
		"TCP, which tries again": {spec: "port", backlog: 5},
	} {
		t.Run(name, func(t *testing.T) {
			v := render(t, "notes", specs()[c.spec])
			f := newFake(t, v)
			f.backlogs, f.backlogError = map[string]int{"/run/foobar-app-notes-blue/app.sock": c.backlog}, c.err
			var got []api.Condition
			repair := change(v, v)
			repair.Warned = func(w api.Condition) { got = append(got, w) }
			if err := f.kind().Apply(t.Context(), repair, silent); err != nil {
				t.Fatal(err)
			}
			wantWarning(t, got, "BacklogShort", "/command", c.want)
			seen, err := f.kind().Observe(t.Context(), "notes", v) // as long as it is so
			if err != nil {
				t.Fatal(err)
			}
			wantWarning(t, seen.Conditions, "BacklogShort", "/command", c.want)
		})
	}
}
