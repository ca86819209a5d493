package agenttest_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

func www() api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: "www"} }

// balancer returns a valid spec in which server web1 has that weight.
func balancer(weight int) api.LoadBalancer {
	server := api.DefaultServer()
	server.Address, server.Port, server.Weight = "10.0.0.1", 80, weight
	b := api.DefaultLoadBalancer()
	b.Frontends["http"] = api.Frontend{Address: "*", Port: 80, Backend: "web"}
	b.Backends["web"] = api.Backend{Algorithm: api.RoundRobin, Servers: map[string]api.Server{"web1": server}}
	return b
}

func change(base int64, spec any) client.Change {
	return client.Change{ID: www(), Base: base, Write: api.Write{Spec: api.Encode(spec)}}
}

// enrolled returns a machine that is enrolled, and an administrator's client.
func enrolled(t *testing.T, c agenttest.Config) (*agenttest.Machine, *client.Machine) {
	t.Helper()
	m := agenttest.Start(t, c)
	m.Enroll()
	return m, m.Admin()
}

func TestLifeOfAComponent(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	ctx := t.Context()

	plan, err := admin.Plan(ctx, www(), 0, api.Write{Spec: api.Encode(balancer(100))})
	if err != nil || plan.Impact != api.ImpactNone || len(plan.Changes) == 0 {
		t.Errorf("plan %+v, %v", plan, err)
	}
	var phases []api.Phase
	op, err := admin.Apply(ctx, change(0, balancer(100)), func(e api.Event) { phases = append(phases, e.Phase) })
	if err != nil || op.State != api.OperationApplied || op.Generation != 1 || op.Actor != "terraform@test" {
		t.Fatalf("apply %+v, %v", op, err)
	}
	for _, want := range []api.Phase{api.PhaseValidate, api.PhaseRender, api.PhaseCheck, api.PhaseActivate, api.PhaseCommit} {
		if !slices.Contains(phases, want) {
			t.Errorf("no event of phase %s among %v", want, phases)
		}
	}
	component, err := admin.Get(ctx, www())
	if err != nil || component.Generation != 1 || len(component.Drift) != 0 || string(component.Observed) != string(component.Spec) {
		t.Errorf("component %+v, %v", component, err)
	}
	if op, err = admin.Apply(ctx, change(1, balancer(50)), nil); err != nil || op.Generation != 2 {
		t.Errorf("update %+v, %v", op, err)
	}
	if _, err = admin.Delete(ctx, client.Change{ID: www(), Base: 2}, nil); err != nil {
		t.Error(err)
	}
	if _, err = admin.Get(ctx, www()); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	if running, _ := m.Units.Running(ctx); len(running) != 0 {
		t.Errorf("still running: %v", running)
	}
	entries, err := admin.Audit(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, e := range entries {
		calls = append(calls, e.Method+" "+e.Path)
	}
	want := "POST /v1/enroll, POST /v1/enroll:finish, PUT /v1/load-balancer/www, PUT /v1/load-balancer/www, DELETE /v1/load-balancer/www"
	if got := strings.Join(calls, ", "); got != want {
		t.Errorf("audited %s\nwant %s", got, want)
	}
}

func TestDriftIsSeenWhereItIs(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	ctx := t.Context()
	if _, err := admin.Apply(ctx, change(0, balancer(100)), nil); err != nil {
		t.Fatal(err)
	}
	const file, unit = "/etc/foobar/load-balancer/www/haproxy.cfg", "foobar-lb-www.service"
	text, err := os.ReadFile(m.Path(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(file), bytes.Replace(text, []byte("weight 100"), []byte("weight 7"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Units.Stop(ctx, unit); err != nil {
		t.Fatal(err)
	}
	m.LoadBalancers.Set(agenttest.Hooks{Observe: func(_ string, seen *operation.Observation) { seen.Spec = balancer(7) }})
	component, err := admin.Get(ctx, www())
	if err != nil {
		t.Fatal(err)
	}
	if got := component.Drift[file].Pointers; !slices.ContainsFunc(got, func(p api.Pointer) bool {
		return strings.HasPrefix(string(p), "/backends/web/servers/web1")
	}) {
		t.Errorf("the edited file drifts at %v", got)
	}
	if _, ok := component.Drift[unit]; !ok || string(component.Observed) == string(component.Spec) {
		t.Errorf("drift %v, observed %s", component.Drift, component.Observed)
	}
	m.LoadBalancers.Set(agenttest.Hooks{})
	if op, err := admin.Apply(ctx, change(1, balancer(100)), nil); err != nil || op.Generation != 2 {
		t.Errorf("repair %+v, %v", op, err)
	}
	if component, err = admin.Get(ctx, www()); err != nil || len(component.Drift) != 0 {
		t.Errorf("after the repair: %v, %v", component.Drift, err)
	}
}

func TestRelease(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	ctx := t.Context()
	archive := release(t)
	sum := sha256.Sum256(archive)
	spec := api.DefaultAppServer()
	spec.Release.SHA256, spec.Command, spec.Port = hex.EncodeToString(sum[:]), []string{"./app"}, 8080
	shop := client.Change{ID: api.ID{Kind: api.KindAppServer, Name: "shop"}, Write: api.Write{Spec: api.Encode(spec)}}
	if _, err := admin.Apply(ctx, shop, nil); !api.IsProblem(err, api.ProblemBlobMissing) {
		t.Errorf("before the upload: %v", err)
	}
	if err := admin.UploadBlob(ctx, spec.Release.SHA256, bytes.NewReader(archive), int64(len(archive)), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Apply(ctx, shop, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.Path("/srv/shop/releases/" + spec.Release.SHA256[:12] + "/app")); err != nil {
		t.Error(err)
	}
}

// release returns an archive with one program.
func release(t *testing.T) []byte {
	t.Helper()
	var archive bytes.Buffer
	zip := gzip.NewWriter(&archive)
	files := tar.NewWriter(zip)
	const program = "#!/bin/sh\n"
	if err := files.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	_, err := files.Write([]byte(program))
	if err = errors.Join(err, files.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// zeros is content of any size.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func TestReleaseThatHasNoRoomIsRefusedAtOnce(t *testing.T) {
	_, admin := enrolled(t, agenttest.Config{})
	err := admin.UploadBlob(t.Context(), strings.Repeat("0", 64), zeros{}, blob.DefaultQuota+1, nil)
	if !api.IsProblem(err, api.ProblemQuota) || !strings.Contains(err.Error(), "10737418241 more bytes are needed") {
		t.Errorf("it ends with %v", err)
	}
}

func TestReaderReadsAndPlansOnly(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	ctx := t.Context()
	if _, err := admin.Apply(ctx, change(0, balancer(100)), nil); err != nil {
		t.Fatal(err)
	}
	reader := m.Reader()
	if _, err := reader.Get(ctx, www()); err != nil {
		t.Errorf("get: %v", err)
	}
	if _, err := reader.Plan(ctx, www(), 1, api.Write{Spec: api.Encode(balancer(1))}); err != nil {
		t.Errorf("plan: %v", err)
	}
	if _, err := reader.Apply(ctx, change(1, balancer(1)), nil); !api.IsProblem(err, api.ProblemForbidden) {
		t.Errorf("apply: %v, want forbidden", err)
	}
}

func TestAppliesOfAKilledClientAreJoined(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	working, release := make(chan struct{}), make(chan struct{})
	m.LoadBalancers.Set(agenttest.Hooks{Apply: func(ctx context.Context, _ converge.Change, _ converge.Progress) error {
		close(working)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}})
	ctx, kill := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := admin.Apply(ctx, change(0, balancer(100)), nil)
		first <- err
	}()
	<-working
	kill()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the killed apply ended with %v", err)
	}

	again := m.Admin() // nothing was saved
	joined := make(chan struct{})
	go func() {
		<-joined
		close(release)
	}()
	op, err := again.Apply(t.Context(), change(0, balancer(100)), func(e api.Event) {
		if e.Seq == 1 { // the second client follows from the beginning
			close(joined)
		}
	})
	if err != nil || op.Runs != 1 || op.Generation != 1 {
		t.Errorf("the second apply: %+v, %v; want generation 1 of one run", op, err)
	}
}

func TestOperationIsRunAgainWhenItsAgentStops(t *testing.T) {
	tests := map[string]func(*agenttest.Machine){"stopped": (*agenttest.Machine).Stop, "killed": (*agenttest.Machine).Kill}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			m, admin := enrolled(t, agenttest.Config{})
			working := make(chan struct{})
			m.LoadBalancers.Set(agenttest.Hooks{Apply: func(ctx context.Context, c converge.Change, _ converge.Progress) error {
				if c.Undo {
					return nil
				}
				close(working)
				<-ctx.Done()
				return context.Cause(ctx)
			}})
			type result struct {
				op  api.Operation
				err error
			}
			done := make(chan result, 1)
			go func() {
				op, err := admin.Apply(t.Context(), change(0, balancer(100)), nil)
				done <- result{op, err}
			}()
			<-working
			end(m)
			m.LoadBalancers.Set(agenttest.Hooks{})
			m.Boot()
			got := <-done
			if got.err != nil || got.op.Generation != 1 || got.op.Runs != 2 {
				t.Errorf("the apply ended with %+v, %v; want generation 1 of the second run", got.op, got.err)
			}
			if running, _ := m.Units.Running(t.Context()); len(running) != 1 {
				t.Errorf("running: %v", running)
			}
		})
	}
}

func TestRebuiltMachineIsEnrolledAndFilledAgain(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	ctx := t.Context()
	if _, err := admin.Apply(ctx, change(0, balancer(100)), nil); err != nil {
		t.Fatal(err)
	}
	m.Rebuild()
	m.Enroll()
	op, err := m.Admin().Apply(ctx, change(0, balancer(100)), nil)
	if err != nil || op.Generation != 1 {
		t.Errorf("apply %+v, %v", op, err)
	}
}

func TestEveryPutOnOneMachineEnds(t *testing.T) {
	_, admin := enrolled(t, agenttest.Config{})
	done := make(chan error)
	const parallel = 10 // Terraform's own number
	for i := range parallel {
		go func() {
			spec := balancer(100)
			spec.Frontends["http"] = api.Frontend{Address: "*", Port: 8000 + i, Backend: "web"}
			c := change(0, spec)
			c.ID.Name = "lb" + string(rune('a'+i))
			_, err := admin.Apply(t.Context(), c, nil)
			done <- err
		}()
	}
	for range parallel {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestAgentServesThoughItsPastCannotBeSetRight(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	if _, err := admin.Apply(t.Context(), change(0, balancer(100)), nil); err != nil {
		t.Fatal(err)
	}
	m.Stop()
	left := m.Path("/var/lib/foobar/transactions/load-balancer/www")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	const impossible = `{"component":{"kind":"load-balancer","name":"www"},"existed":true,"begun":true,"saved":[{"path":"/etc/x","sort":"a special file"}]}`
	if err := os.WriteFile(left+"/journal.json", []byte(impossible), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Boot()
	found, err := admin.Get(t.Context(), www())
	if err != nil || len(found.Conditions) != 1 || found.Conditions[0].Type != "ChangeUnfinished" || !strings.Contains(found.Conditions[0].Message, "cannot be made again") {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestAuditLogThatWasTamperedWithIsShown(t *testing.T) {
	m, admin := enrolled(t, agenttest.Config{})
	m.Stop()
	path := m.Path("/var/lib/foobar/audit.log")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("terraform@test"), []byte("somebody@test0"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	m.Boot()
	health, err := admin.Health(t.Context())
	if err != nil || len(health.Conditions) != 1 || health.Conditions[0].Type != "AuditLogChanged" {
		t.Errorf("health %+v, %v", health, err)
	}
}

func TestUnenrolledMachineAnswersHealthAlone(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	if _, err := m.Admin().Info(t.Context()); !isNotEnrolled(err) {
		t.Errorf("info of a machine that is not enrolled: %v", err)
	}
	m.Enroll()
	if info, err := m.Admin().Info(t.Context()); err != nil || !info.Enrolled || info.Version == "" {
		t.Errorf("info %+v, %v", info, err)
	}
}

func isNotEnrolled(err error) bool {
	_, ok := errors.AsType[*client.NotEnrolled](err)
	return ok || api.IsProblem(err, api.ProblemNotEnrolled)
}
