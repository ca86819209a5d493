package server

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestRefusedCallsPushNothingOutOfALog(t *testing.T) {
	b := newBench(t, true)
	var log bytes.Buffer
	b.Log = hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true})
	const changes, calls = 20, 3000
	for range changes {
		b.change("POST", "/v1/leaves/db", "")
	}
	b.role = api.RoleReader
	written := log.Len()
	long := "/v1/load-balancer/" + strings.Repeat("x", 15<<10)
	for i := range calls {
		switch i % 3 {
		case 0:
			b.call("GET", "/v1/secrets"+long+fmt.Sprint(i), "")
		case 1:
			b.change("DELETE", long+fmt.Sprint(i), "") // a reader may not
		case 2:
			b.call(strings.Repeat("M", 15<<10), "/v1/components", "", api.HeaderMachine, strings.Repeat("y", 15<<10))
		}
	}
	if entries := b.entries(); len(entries) != changes || slices.ContainsFunc(entries, func(e api.AuditEntry) bool { return e.Method != http.MethodPost }) {
		t.Errorf("the audit log has %d entries, want the %d changes", len(entries), changes)
	}
	b.refusals.flush()
	if n := log.Len() - written; n > 32<<10 {
		t.Errorf("%d refused calls wrote %d bytes to the journal", calls, n)
	}
	refused := b.refused()
	if len(refused) != refusalLines+1 {
		t.Fatalf("%d entries about refused calls, want %d", len(refused), refusalLines+1)
	}
	for _, e := range refused {
		if size := len(api.Encode(e)); size > 2<<10 || e.Actor != "terraform@ci" || e.Role != api.RoleReader {
			t.Errorf("an entry of %d bytes by %s, %s", size, e.Actor, e.Role)
		}
	}
	if last := refused[refusalLines]; !strings.Contains(last.Detail, fmt.Sprintf("%d more calls", calls-refusalLines)) {
		t.Errorf("the last entry says %q", last.Detail)
	}
	if got := read[api.Audit](t, b.call("GET", "/v1/audit/refused?after=1", "")).Entries; len(got) != refusalLines || got[0].Seq != 2 {
		t.Errorf("read %d entries from number 2", len(got))
	}
}

func TestRefusalsAreCountedByCaller(t *testing.T) {
	b := newBench(t, true)
	b.role = api.RoleReader
	for range refusalLines + 5 {
		b.call("GET", "/v1/secrets", "")
	}
	b.role = api.RoleNode
	b.call("GET", "/v1/audit", "")
	refused := b.refused()
	if len(refused) != refusalLines+1 || refused[refusalLines].Actor != "web2" {
		t.Errorf("%d entries; the refusal of another caller is not among them", len(refused))
	}
}
