//go:build lab

// These tests run as root on a machine of the lab, with real systemd and
// HAProxy. All traffic stays on the machine's loopback interface.
package loadbalancer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/blob"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// patience bounds each wait for a condition.
	patience = time.Minute
	unit     = "foobar-lb-test.service"
	config   = "/etc/foobar/load-balancer/test/haproxy.cfg"
	admin    = "/run/foobar-lb-test/admin.sock"
	master   = "/run/foobar-lb-test/master.sock"
	front    = "127.0.0.1:18080"
)

var id = api.ID{Kind: api.KindLoadBalancer, Name: "test"}

// stand is an agent without its API, with one load balancer and its servers.
type stand struct {
	*testing.T
	runner *operation.Runner
	units  *systemd.Manager
	serial int
}

func newStand(t *testing.T) *stand {
	t.Helper()
	onLabMachine(t)
	dir, runtime := "/var/lib/foobar-loadbalancer-test", "/run/foobar-loadbalancer-test"
	for _, d := range []string{dir, runtime} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"), blob.DefaultQuota, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	units := systemd.New()
	ctx, cancel := context.WithCancel(context.Background())
	runner, err := operation.New(operation.Config{
		Dir: dir, Runtime: runtime, Units: units, Journal: logs.Journal{}, Blobs: blobs,
		Engine: &converge.Engine{Dir: filepath.Join(dir, "transactions"), Units: units, Accounts: converge.SystemAccounts{}, Trees: blobs},
		Kinds:  []operation.Kind{loadbalancer.New(units, logs.Journal{})},
		Clock:  time.Now, Logger: hclog.NewNullLogger(), Ctx: ctx,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{T: t, runner: runner, units: units}
	t.Cleanup(func() {
		s.delete()
		cancel()
		runner.Wait()
		units.Close()
		for _, d := range []string{dir, runtime} {
			if err := os.RemoveAll(d); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// onLabMachine keeps the tests from making units anywhere else.
func onLabMachine(t *testing.T) {
	t.Helper()
	container, err := os.ReadFile("/run/systemd/container")
	if err != nil || strings.TrimSpace(string(container)) != "systemd-nspawn" {
		t.Fatal("this test changes the machine that it runs on: copy it to a machine of the lab, see internal/lab")
	}
}

// base is the generation that a change starts from.
func (s *stand) base() int64 {
	c, err := s.runner.Get(context.Background(), id)
	if err != nil {
		return 0
	}
	return c.Generation
}

func (s *stand) delete() {
	s.Helper()
	base := s.base()
	if base == 0 {
		return
	}
	s.serial++
	op, err := s.runner.Delete(context.Background(), operation.Request{
		ID: id, Operation: api.OperationID(api.VerbDelete, id, base, api.Encode(s.serial), ""), Base: base, Actor: "test",
	})
	if err != nil {
		s.Fatal(err)
	}
	if op = s.wait(op); op.State != api.OperationApplied {
		s.Errorf("delete: %v", op.Problem)
	}
}

func (s *stand) wait(op api.Operation) api.Operation {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for after := int64(0); !op.State.Done(); {
		events, err := s.runner.Events(ctx, op.ID, after, patience)
		if err == nil {
			op, err = s.runner.Operation(ctx, op.ID)
		}
		if err != nil || ctx.Err() != nil {
			s.Fatalf("wait for the operation: %v", errors.Join(err, ctx.Err()))
		}
		for _, e := range events {
			after = e.Seq
		}
	}
	return op
}

func (s *stand) try(spec api.LoadBalancer) api.Operation {
	s.Helper()
	base, raw := s.base(), api.Encode(spec)
	op, err := s.runner.Apply(context.Background(), operation.Request{
		ID: id, Operation: api.OperationID(api.VerbApply, id, base, raw, ""), Base: base, Actor: "test", Write: api.Write{Spec: raw},
	})
	if err != nil {
		s.Fatalf("apply: %v", err)
	}
	return s.wait(op)
}

func (s *stand) apply(spec api.LoadBalancer) {
	s.Helper()
	if op := s.try(spec); op.State != api.OperationApplied {
		s.Fatalf("apply: %v\n%s", op.Problem, strings.Join(op.Problem.Log, "\n"))
	}
	s.settled()
}

// settled fails unless the load balancer is observed as its spec has it.
func (s *stand) settled() {
	s.Helper()
	c, _ := s.get()
	if string(c.Observed) != string(c.Spec) || len(c.Drift) > 0 {
		s.Fatalf("drift right after an apply: %v\nspec     %s\nobserved %s", c.Drift, c.Spec, c.Observed)
	}
}

func (s *stand) impact(spec api.LoadBalancer) api.Impact {
	s.Helper()
	plan, err := s.runner.Plan(context.Background(), id, s.base(), api.Write{Spec: api.Encode(spec)})
	if err != nil {
		s.Fatalf("plan: %v", err)
	}
	return plan.Impact
}

func (s *stand) get() (api.Component, api.LoadBalancerStatus) {
	s.Helper()
	c, err := s.runner.Get(context.Background(), id)
	if err != nil {
		s.Fatal(err)
	}
	var status api.LoadBalancerStatus
	if err := json.Unmarshal(c.Status, &status); err != nil {
		s.Fatal(err)
	}
	return c, status
}

func (s *stand) observed() api.LoadBalancer {
	s.Helper()
	c, _ := s.get()
	var spec api.LoadBalancer
	if err := json.Unmarshal(c.Observed, &spec); err != nil {
		s.Fatal(err)
	}
	return spec
}

func (s *stand) worker() int {
	s.Helper()
	_, status := s.get()
	return status.PID
}

// until waits for a condition.
func (s *stand) until(what string, holds func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			s.Fatalf("it never came that %s", what)
		case <-ticker.C:
		}
	}
}

// runtimeCommand does what an operator does by hand on the admin socket.
func (s *stand) runtimeCommand(command string) {
	s.Helper()
	if err := tellWorker(command); err != nil {
		s.Fatal(err)
	}
}

// tellWorker gives a command on the admin socket. Some answer what they did.
func tellWorker(command string) error {
	conn, err := net.Dial("unix", admin)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if text := strings.TrimSpace(string(answer)); err == nil && text != "" && !strings.Contains(text, "changed from") {
		err = fmt.Errorf("%s: %s", command, text)
	}
	return err
}

// reloadByHand has HAProxy read its file, and waits until it did.
func reloadByHand(ctx context.Context) error {
	result, err := haproxy.Client{Socket: master}.Reload(ctx)
	if err == nil && !result.Success {
		err = fmt.Errorf("the reload failed: %v", result.Messages)
	}
	return err
}

// backend is a server behind the load balancer.
type backend struct {
	name    string
	port    int
	healthy atomic.Bool
	leaves  atomic.Bool // answers its health check with 404
	served  atomic.Int64
}

// newBackend starts a server that tells its name and the headers that it got,
// and "ok" to health checks unless it is unhealthy.
func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := &backend{name: name}
	b.healthy.Store(true)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v, not on TCP", listener.Addr())
	}
	b.port = address.Port
	server := &http.Server{Handler: b, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/health" && b.leaves.Load():
		http.NotFound(w, r)
	case r.URL.Path == "/health" && b.healthy.Load():
		_, _ = io.WriteString(w, "it is ok")
	case r.URL.Path == "/health":
		_, _ = io.WriteString(w, "it is bad")
	default:
		b.served.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Server-Name", b.name)
		_ = json.NewEncoder(w).Encode(r.Header)
	}
}

// over returns a load balancer over backends, with fast checks.
func over(backends ...*backend) api.LoadBalancer {
	spec := api.DefaultLoadBalancer()
	spec.MaxConnections = 2000
	spec.Frontends["www"] = api.Frontend{Address: "127.0.0.1", Port: 18080, Backend: "web"}
	check := api.DefaultHealthCheck()
	check.Path, check.BodyPattern = "/health", `^it is (ok|fine)$`
	check.Interval = api.Duration(100 * time.Millisecond)
	servers := map[string]api.Server{}
	for _, b := range backends {
		server := api.DefaultServer()
		server.Address, server.Port = "127.0.0.1", b.port
		servers[b.name] = server
	}
	spec.Backends["web"] = api.Backend{Algorithm: api.RoundRobin, HealthCheck: &check, Servers: servers}
	return spec
}

// with returns a copy of a spec in which one server is changed.
func with(spec api.LoadBalancer, name string, edit func(*api.Server)) api.LoadBalancer {
	var changed api.LoadBalancer
	if err := json.Unmarshal(api.Encode(spec), &changed); err != nil {
		panic(err) // a spec always survives the way through JSON
	}
	server := changed.Backends["web"].Servers[name]
	edit(&server)
	changed.Backends["web"].Servers[name] = server
	return changed
}

// ask sends one request, to the frontend unless the URL is whole, and returns which server
// answered and the headers that the server got.
func ask(ctx context.Context, client *http.Client, method, url string, headers ...string) (string, http.Header, error) {
	if strings.HasPrefix(url, "/") {
		url = "http://" + front + url
	}
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var got http.Header
	if response.StatusCode != http.StatusOK {
		return "", nil, fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return "", nil, err
	}
	return response.Header.Get("Server-Name"), got, nil
}

func fresh() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
}

func (s *stand) answered() string {
	s.Helper()
	name, _, err := ask(context.Background(), fresh(), http.MethodGet, "/")
	if err != nil {
		s.Fatal(err)
	}
	return name
}
