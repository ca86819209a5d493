package identity_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// parts tells who calls.
type parts struct {
	server.Replications
	by  api.DBCaller
	err error
}

func (p *parts) Record(_ context.Context, _ string, by api.DBCaller) (replication.Record, error) {
	p.by = by
	return replication.Record{Epoch: 7}, p.err
}

func (p *parts) Copy(_ context.Context, _ string, by api.DBCaller, to io.Writer) error {
	p.by = by
	if _, err := io.WriteString(to, strings.Repeat("data", 1<<20)); err != nil {
		return err
	}
	return p.err
}

// unenrolledWeb2 returns another machine of the deployment.
func unenrolledWeb2(t *testing.T) *machine {
	t.Helper()
	shown, err := pki.NewBootstrap(authority(t, seedText), "web2", 1, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	return booted(t, shown)
}

// web2 returns it enrolled.
func web2(t *testing.T) *machine {
	t.Helper()
	m := unenrolledWeb2(t)
	m.admin().enrol()
	return m
}

// administrator calls a machine with the seed.
type administrator struct {
	t      testing.TB
	called *client.Machine
}

func (m *machine) admin() administrator {
	m.t.Helper()
	s := signer(m.t)
	s.Now = m.now
	credentials, err := client.Admin(s, "test")
	if err != nil {
		m.t.Fatal(err)
	}
	return administrator{m.t, m.calledBy(credentials, m.id.Facts().Node)}
}

func (a administrator) enrol() {
	a.t.Helper()
	if _, err := a.called.Enroll(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// calledBy returns the machine as somebody calls it by a name.
func (m *machine) calledBy(c client.Credentials, name string) *client.Machine {
	m.t.Helper()
	pool := client.NewPool(c, client.Options{Now: m.now})
	m.t.Cleanup(pool.Close)
	called, err := pool.Machine(client.Target{Name: name, Address: m.address, Incarnation: 1})
	if err != nil {
		m.t.Fatal(err)
	}
	return called
}

func TestMachineCallsAnother(t *testing.T) {
	one, other := booted(t, bootstrap(t, 1)), web2(t)
	shown := &parts{}
	one.now, other.now = time.Now, time.Now
	serveAgentOf(t, one, shown)
	one.admin().enrol()
	called := one.calledBy(client.Node("shop", other.id.AsClient), "web1")

	if health, err := called.Health(t.Context()); err != nil || health.Node != "web1" {
		t.Errorf("got %+v, %v", health, err)
	}
	var record replication.Record
	if _, err := called.ReplicationCall(t.Context(), http.MethodGet, "notes", "record", nil, &record); err != nil || record.Epoch != 7 {
		t.Errorf("got %+v, %v", record, err)
	}
	if want := (api.DBCaller{Node: "web2", Key: other.id.Facts().Key}); shown.by != want {
		t.Errorf("called by %+v, want %+v", shown.by, want)
	}
	if _, err := called.Components(t.Context()); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a machine read another's components: %v", err)
	}
	if err := called.Enlist(t.Context(), "notes", api.DBMembership{}); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("a machine enlisted itself: %v", err)
	}
	err := one.admin().called.Enlist(t.Context(), "notes", api.DBMembership{})
	if !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("an administrator's membership of nobody: %v", err)
	}
	if _, err := one.admin().called.ReplicationCopy(t.Context(), "notes"); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("an administrator got a copy of the data: %v", err)
	}
}

func TestCopyPassesBetweenMachines(t *testing.T) {
	one, other := booted(t, bootstrap(t, 1)), web2(t)
	shown := &parts{}
	one.now, other.now = time.Now, time.Now
	serveAgentOf(t, one, shown)
	one.admin().enrol()
	called := one.calledBy(client.Node("shop", other.id.AsClient), "web1")
	read := func() (string, error) {
		copied, err := called.ReplicationCopy(t.Context(), "notes")
		if err != nil {
			t.Fatal(err)
		}
		defer copied.Close() //nolint:errcheck // only read
		data, err := io.ReadAll(copied)
		return string(data), err
	}
	if data, err := read(); err != nil || data != strings.Repeat("data", 1<<20) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	shown.err = errors.New("mariadb-backup: exit status 1")
	if data, err := read(); err == nil {
		t.Errorf("a copy that broke off looks whole: %d bytes", len(data))
	}
}

func TestMachineShowsItsRenewedCertificate(t *testing.T) {
	one, other := booted(t, bootstrap(t, 1)), web2(t)
	one.admin().enrol()
	shown := func() string {
		certificate, ca, err := other.id.AsClient()
		if err != nil || len(ca) != 1 {
			t.Fatalf("%v with %d CAs", err, len(ca))
		}
		return pki.SerialText(certificate.Leaf)
	}
	called := one.calledBy(client.Node("shop", other.id.AsClient), "web1")
	if _, err := called.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := shown()
	if _, err := other.admin().called.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := shown(); after == before || after != other.id.Facts().Serial {
		t.Errorf("it shows %s, before %s, and has %s", after, before, other.id.Facts().Serial)
	}
	if _, err := called.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestMachineWithoutIdentityCallsNobody(t *testing.T) {
	one, other := booted(t, bootstrap(t, 1)), unenrolledWeb2(t)
	one.admin().enrol()
	_, err := one.calledBy(client.Node("shop", other.id.AsClient), "web1").Health(t.Context())
	if !api.IsProblem(err, api.ProblemNotEnrolled) {
		t.Errorf("got %v", err)
	}
}
