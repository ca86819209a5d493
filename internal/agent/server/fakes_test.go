package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// fakeIdentity is a machine named web1.
type fakeIdentity struct{ enrolled bool }

func (f fakeIdentity) TLSConfig() *tls.Config { return nil }

func (f fakeIdentity) Peer(tls.ConnectionState) (identity.Peer, error) {
	return identity.Peer{}, errors.New("not used: the tests say who calls")
}

func (f fakeIdentity) Facts() identity.Facts {
	return identity.Facts{Deployment: "shop", Node: "web1", Incarnation: 1, Enrolled: f.enrolled, Key: "sha256:00", CAs: []api.TrustedCA{{Pin: "sha256:ca"}}}
}

func (f fakeIdentity) Conditions() []api.Condition { return nil }

func (f fakeIdentity) Offer(tls.ConnectionState, api.EnrollHello) (api.EnrollOffer, error) {
	return api.EnrollOffer{}, nil
}

func (f fakeIdentity) Finish(tls.ConnectionState, api.EnrollGrant) (api.Enrolled, error) {
	return api.Enrolled{}, &api.Problem{Type: api.ProblemProof, Title: "The proof does not hold"}
}

func (f fakeIdentity) Renew(tls.ConnectionState, api.Certification) (api.Enrolled, error) {
	return api.Enrolled{}, nil
}

func (f fakeIdentity) Leaf(string) (api.ServiceLeaf, error)        { return api.ServiceLeaf{}, nil }
func (f fakeIdentity) RequestLeaf(string) (api.ServiceLeaf, error) { return api.ServiceLeaf{}, nil }
func (f fakeIdentity) StoreLeaf(string, api.ServiceLeaf) (api.ServiceLeaf, error) {
	return api.ServiceLeaf{}, nil
}

// fakeRunner notes what it is asked for, and answers as it is set up to.
type fakeRunner struct {
	requests []operation.Request
	state    api.OperationState
	err      error
	events   func(ctx context.Context, after int64, wait time.Duration) ([]api.Event, error)
}

func (f *fakeRunner) Get(context.Context, api.ID) (api.Component, error) {
	return api.Component{}, f.err
}

func (f *fakeRunner) Leftovers(context.Context, api.ID) (api.Leftovers, error) {
	return api.Leftovers{}, f.err
}

func (f *fakeRunner) AllLeftovers(context.Context) (api.AllLeftovers, error) {
	return api.AllLeftovers{}, f.err
}

func (f *fakeRunner) Purge(context.Context, api.ID, string) (api.Leftovers, error) {
	return api.Leftovers{}, f.err
}

func (f *fakeRunner) List(context.Context) (api.Listing, error) { return api.Listing{}, f.err }

func (f *fakeRunner) PlanFor(_ context.Context, _ operation.Asker, id api.ID, base int64, w api.Write) (api.Plan, error) {
	f.requests = append(f.requests, operation.Request{ID: id, Base: base, Write: w})
	return api.Plan{Impact: api.ImpactReload}, f.err
}

func (f *fakeRunner) Apply(_ context.Context, r operation.Request) (api.Operation, error) {
	return f.start(r)
}

func (f *fakeRunner) Delete(_ context.Context, r operation.Request) (api.Operation, error) {
	return f.start(r)
}

func (f *fakeRunner) Restart(_ context.Context, id api.ID, actor string) (api.Operation, error) {
	return f.start(operation.Request{ID: id, Operation: "restart", Actor: actor})
}

func (f *fakeRunner) Rollback(_ context.Context, id api.ID, to int64, actor string) (api.Operation, error) {
	return f.start(operation.Request{ID: id, Base: to, Operation: "rollback", Actor: actor})
}

func (f *fakeRunner) Drain(_ context.Context, id api.ID, drained bool, by string) (api.Drained, error) {
	_, err := f.start(operation.Request{ID: id, Operation: fmt.Sprintf("drained %t", drained), Actor: by})
	return api.Drained{}, err
}

func (f *fakeRunner) Own(_ context.Context, id api.ID, c api.Claiming, actor string) (api.Ownership, error) {
	f.requests = append(f.requests, operation.Request{ID: id, Actor: actor, Write: api.Write{Owner: c.Owner, TakesOver: c.TakesOver}})
	return api.Ownership{Owner: c.Owner, Actor: actor}, f.err
}

func (f *fakeRunner) start(r operation.Request) (api.Operation, error) {
	f.requests = append(f.requests, r)
	return api.Operation{ID: r.Operation, Component: r.ID, State: f.state, Actor: r.Actor}, f.err
}

func (f *fakeRunner) Operation(_ context.Context, id string) (api.Operation, error) {
	return api.Operation{ID: id, State: f.state}, f.err
}

func (f *fakeRunner) Events(ctx context.Context, _ string, after int64, wait time.Duration) ([]api.Event, error) {
	if f.events == nil {
		return nil, f.err
	}
	return f.events(ctx, after, wait)
}

// fakeReplications notes who asks for what, and answers as it is set up to.
type fakeReplications struct {
	asked []string
	// config is what came with the last call.
	config  any
	running bool
	err     error
	wait    func(ctx context.Context) error
	copied  func(ctx context.Context, to io.Writer) error
}

func (f *fakeReplications) note(what, name string, by api.DBCaller, config any) error {
	f.asked = append(f.asked, fmt.Sprintf("%s %s by %s %s", what, name, by.Node, by.Key))
	f.config = config
	return f.err
}

func (f *fakeReplications) Enlist(_ context.Context, name, by string, m api.DBMembership) error {
	return f.note("enlist", name, api.DBCaller{Node: by}, m)
}

func (f *fakeReplications) Leave(_ context.Context, name string) error {
	return f.note("leave", name, api.DBCaller{}, nil)
}

func (f *fakeReplications) Applied(_ context.Context, name string, by api.DBCaller) (bool, error) {
	return true, f.note("applied", name, by, nil)
}

func (f *fakeReplications) View(_ context.Context, name string, by api.DBCaller) (replication.NodeView, error) {
	return replication.NodeView{EngineView: replication.EngineView{Version: "11.8"}}, f.note("view", name, by, nil)
}

func (f *fakeReplications) Record(_ context.Context, name string, by api.DBCaller) (replication.Record, error) {
	return replication.Record{Epoch: 7, Primary: "web1"}, f.note("record", name, by, nil)
}

func (f *fakeReplications) UpdateConfig(_ context.Context, name string, by api.DBCaller, config api.DBConfig) error {
	return f.note("tell", name, by, config)
}

func (f *fakeReplications) Order(ctx context.Context, name string, by api.DBCaller, order replication.Order, wait time.Duration) (bool, error) {
	err := f.note("order for "+wait.String(), name, by, order)
	if f.wait != nil {
		err = f.wait(ctx)
	}
	return !f.running, err
}

func (f *fakeReplications) Lock(_ context.Context, name string, by api.DBCaller, operation string) error {
	return f.note("lock", name, by, operation)
}

func (f *fakeReplications) Unlock(_ context.Context, name string, by api.DBCaller, operation string) error {
	return f.note("unlock", name, by, operation)
}

func (f *fakeReplications) Copy(ctx context.Context, name string, by api.DBCaller, to io.Writer) error {
	if err := f.note("copy", name, by, nil); err != nil || f.copied == nil {
		return err
	}
	return f.copied(ctx, to)
}

// fakeJournal has one line, which tells what was asked for.
type fakeJournal struct{}

func (fakeJournal) Lines(_ context.Context, unit string, lines int) ([]api.LogLine, error) {
	return []api.LogLine{{Unit: unit, Message: strings.Repeat("x", lines)}}, nil
}

// bench is a server with its fakes.
type bench struct {
	*Server
	t      *testing.T
	runner *fakeRunner
	parts  *fakeReplications
	record *audit.Log
	denied *audit.Log
	dir    string
	role   api.Role
}

func newBench(t *testing.T, enrolled bool) *bench {
	t.Helper()
	dir := t.TempDir()
	record, err := audit.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = record.Close() })
	denied, err := audit.OpenRefused(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = denied.Close() })
	now := func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }
	blobs, err := blob.Open(t.TempDir(), blob.DefaultQuota, now)
	if err != nil {
		t.Fatal(err)
	}
	runner, parts := &fakeRunner{state: api.OperationQueued}, &fakeReplications{}
	return &bench{
		Server: New(Config{
			Identity: fakeIdentity{enrolled}, Runner: runner, Blobs: blobs, Journal: fakeJournal{}, Audit: record, Refused: denied, Replications: parts,
			Facts:      Facts{Version: "1.2.3", ImageID: "2026.5", BootID: "b", BootedAt: now()},
			Conditions: func(context.Context) []api.Condition { return nil },
			LeafStored: func(context.Context, string) {},
			Log:        hclog.NewNullLogger(), Now: now,
		}),
		t: t, runner: runner, parts: parts, record: record, denied: denied, dir: dir, role: api.RoleAdmin,
	}
}

// call sends a request as a caller of the bench's role. Headers come in pairs.
func (b *bench) call(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	request := httptest.NewRequestWithContext(b.t.Context(), method, path, strings.NewReader(body))
	request.TLS = &tls.ConnectionState{}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	b.handler(b.who).ServeHTTP(recorder, request)
	return recorder
}

// who is a caller of the bench's role; a machine is web2.
func (b *bench) who(*http.Request) (Caller, error) {
	if b.role == api.RoleNode {
		return Caller{Actor: "web2", Role: b.role, Machine: api.DBCaller{Node: "web2", Key: "sha256:22"}}, nil
	}
	return Caller{Actor: "terraform@ci", Role: b.role}, nil
}

// change sends a mutating request that names the right machine.
func (b *bench) change(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.call(method, path, body, slices.Concat(headers, []string{api.HeaderMachine, "web1"})...)
}

// entries returns the audit log, refused that of refused calls.
func (b *bench) entries() []api.AuditEntry { return b.all(b.record) }
func (b *bench) refused() []api.AuditEntry { return b.all(b.denied) }

func (b *bench) all(log *audit.Log) []api.AuditEntry {
	b.t.Helper()
	entries, err := log.After(0)
	if err != nil {
		b.t.Fatal(err)
	}
	return entries
}

// problem reads an answer that has to be a problem.
func problem(t *testing.T, r *httptest.ResponseRecorder) *api.Problem {
	t.Helper()
	p := new(api.Problem)
	if err := json.Unmarshal(r.Body.Bytes(), p); err != nil || p.Type == "" {
		t.Fatalf("%d %s: no problem", r.Code, r.Body)
	}
	if got := r.Header().Get("Content-Type"); got != api.ProblemContentType {
		t.Errorf("content type %q", got)
	}
	if r.Code != p.Type.Status() {
		t.Errorf("status %d, but %s has %d", r.Code, p.Type, p.Type.Status())
	}
	return p
}

// wantProblem checks type and text of a problem.
func wantProblem(t *testing.T, r *httptest.ResponseRecorder, want api.ProblemType, text string) {
	t.Helper()
	if p := problem(t, r); p.Type != want || !strings.Contains(p.Error(), text) {
		t.Errorf("problem %s: %v\nwant %s: …%s…", p.Type, p, want, text)
	}
}

// read decodes an answer.
func read[T any](t *testing.T, r *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(r.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %s: %v", r.Code, r.Body, err)
	}
	return v
}

// failingReader is a body that breaks off.
type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
