package identity_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/audit"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// serveAgent serves a machine's identity with the agent's real server, and
// returns its log.
func serveAgent(t *testing.T, m *machine) *bytes.Buffer {
	t.Helper()
	return serveAgentOf(t, m, nil)
}

// serveAgentOf serves an agent with parts in replications.
func serveAgentOf(t *testing.T, m *machine, parts server.Replications) *bytes.Buffer {
	t.Helper()
	m.stop()
	dir := t.TempDir()
	record, err := audit.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	refused, err := audit.OpenRefused(dir)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.TempDir(), blob.DefaultQuota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	s := server.New(server.Config{
		Identity: m.id, Blobs: blobs, Audit: record, Refused: refused, Replications: parts, Now: time.Now,
		Facts:      server.Facts{Version: "1.2.3", ImageID: "image"},
		Conditions: func(context.Context) []api.Condition { return nil },
		LeafStored: func(context.Context, string) {},
		Log:        hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace}),
	})
	remote, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := server.ListenLocal(filepath.Join(t.TempDir(), "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	m.address = remote.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(remote, local) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func TestAgentIsEnrolledAndCalledThroughItsServer(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	log := serveAgent(t, m)

	_, err := newRun().call(m).Info(t.Context())
	isA[*client.NotEnrolled](t, err)
	err = m.dial(admin(t)).post("/v1/leaves/db", struct{}{}, nil)
	if !api.IsProblem(err, api.ProblemWrongMachine) {
		t.Errorf("a change that names no machine: %v", err)
	}

	enrolled := newRun().enroll(m)
	called := newRun().call(m)
	info, err := called.Info(t.Context())
	if err != nil || info.Key != enrolled.Key || info.Deployment != "shop" || !info.Enrolled || info.Version != "1.2.3" {
		t.Errorf("got %+v, %v", info, err)
	}
	if err := client.Require(info); err != nil {
		t.Error(err)
	}
	leaf, err := called.IssueLeaf(t.Context(), "db", pki.ServiceNames{DNS: []string{"db.shop.internal"}})
	if err != nil || leaf.Certificate == "" {
		t.Errorf("got %+v, %v", leaf, err)
	}
	if got, err := called.Leaf(t.Context(), "db"); err != nil || got != leaf {
		t.Errorf("got %+v, %v", got, err)
	}
	if renewed, err := called.Renew(t.Context()); err != nil || renewed.Key != enrolled.Key {
		t.Errorf("got %+v, %v", renewed, err)
	}
	entries, err := called.Audit(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, e := range entries {
		calls = append(calls, e.Actor+" "+e.Path)
	}
	if got := strings.Join(calls, ", "); !strings.Contains(got, "test /v1/enroll, test /v1/enroll:finish, test /v1/leaves/db, test /v1/leaves/db, test /v1/identity:renew") {
		t.Errorf("the audit log has %s", got)
	}
	for _, secret := range []string{encoded(enrollKey(t)), hex.EncodeToString(enrollKey(t)), seedText, "PRIVATE KEY"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
}

func TestReaderLooksAndDoesNotTouch(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	serveAgent(t, m)
	newRun().enroll(m)
	issued, err := pki.Signer{Authority: authority(t, seedText), Now: time.Now, Random: signer(t).Random}.Client(api.RoleReader, "ci", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	m.now = time.Now
	credentials, err := client.Given(issued.CertificatePEM(), issued.KeyPEM(), pki.EncodeCertificate(signer(t).Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	pool := client.NewPool(credentials, client.Options{})
	defer pool.Close()
	called, err := pool.Machine(client.Target{Name: "web1", Address: m.address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := called.Info(t.Context()); err != nil {
		t.Error(err)
	}
	change := client.Change{ID: api.ID{Kind: api.KindAppServer, Name: "app"}, Write: api.Write{Spec: []byte("{}")}}
	if _, err := called.Apply(t.Context(), change, nil); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("an apply: %v", err)
	}
	if err := called.UploadBlob(t.Context(), strings.Repeat("0", 64), bytes.NewReader(nil), 0, nil); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("an upload: %v", err)
	}
	for what, call := range map[string]func() error{
		"an enrolment": func() error { _, err := called.Enroll(t.Context()); return err },
		"a renewal":    func() error { _, err := called.Renew(t.Context()); return err },
		"a leaf":       func() error { _, err := called.IssueLeaf(t.Context(), "db", pki.ServiceNames{}); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "takes the CA seed") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestBlobArrives(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	serveAgent(t, m)
	newRun().enroll(m)
	called := newRun().call(m)
	content := bytes.Repeat([]byte("0123456789abcdef"), (api.MaxChunk*2+1000)/16)
	sum := sha256.Sum256(content)
	for range 2 { // the second time it is there
		if err := called.UploadBlob(t.Context(), hex.EncodeToString(sum[:]), bytes.NewReader(content), int64(len(content)), nil); err != nil {
			t.Fatal(err)
		}
	}
	other := sha256.Sum256(nil)
	if err := called.UploadBlob(t.Context(), hex.EncodeToString(other[:]), bytes.NewReader(content[:10]), 10, nil); err == nil {
		t.Error("a blob with another checksum was accepted")
	}
}
