//go:build lab

package loadbalancer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestLabRoundRobin(t *testing.T) {
	s := newStand(t)
	s.apply(over(newBackend(t, "web1"), newBackend(t, "web2")))
	var turns []string
	for range 10 {
		turns = append(turns, s.answered())
	}
	for i := 1; i < len(turns); i++ {
		if turns[i] == turns[i-1] {
			t.Fatalf("the servers did not take turns: %q", turns)
		}
	}
}

func TestLabWeightAndDrainKeepTheWorker(t *testing.T) {
	s := newStand(t)
	web1, web2 := newBackend(t, "web1"), newBackend(t, "web2")
	spec := over(web1, web2)
	s.apply(spec)
	for _, algorithm := range api.Algorithms() {
		backend := spec.Backends["web"]
		backend.Algorithm = algorithm
		spec.Backends["web"] = backend
		s.apply(spec)
		s.weightAndDrain(spec)
	}
	worker := s.worker()
	s.apply(with(spec, "web1", func(server *api.Server) { server.Drain = true }))
	before := web1.served.Load()
	for range 10 {
		if name := s.answered(); name != "web2" {
			t.Errorf("%s answered although web1 drains", name)
		}
	}
	if web1.served.Load() != before {
		t.Error("a draining server was asked")
	}
	if _, status := s.get(); status.Backends["web"].Servers["web1"].State != "drain" {
		t.Errorf("the draining server is shown as %+v", status.Backends["web"].Servers["web1"])
	}
	if s.worker() != worker {
		t.Error("a weight or a drain made a new worker")
	}
}

// weightAndDrain changes both, and back, without a new worker.
func (s *stand) weightAndDrain(spec api.LoadBalancer) {
	s.Helper()
	worker := s.worker()
	for name, change := range map[string]func(*api.Server){
		"weight": func(server *api.Server) { server.Weight = 7 },
		"drain":  func(server *api.Server) { server.Drain = true },
	} {
		changed := with(spec, "web1", change)
		if impact := s.impact(changed); impact != api.ImpactRuntime {
			s.Errorf("%s: the impact is %q", name, impact)
		}
		s.apply(changed)
		_, status := s.get()
		if got, want := status.Backends["web"].Servers["web1"].Weight, changed.Backends["web"].Servers["web1"]; (want.Drain && got != 0) || (!want.Drain && got != want.Weight) {
			s.Errorf("%s: the weight in force is %d", name, got)
		}
		s.apply(spec)
	}
	if s.worker() != worker {
		s.Errorf("%s: a weight or a drain made a new worker", spec.Backends["web"].Algorithm)
	}
}

func TestLabRepairsWhatHandsDid(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"), newBackend(t, "web2"))
	s.apply(spec)
	worker := s.worker()
	for command, want := range map[string]func(*api.Server){
		"set server web/web1 weight 3":    func(server *api.Server) { server.Weight = 3 },
		"set server web/web1 state maint": func(server *api.Server) { server.Drain = true },
		"set server web/web1 state drain": func(server *api.Server) { server.Drain = true },
	} {
		s.runtimeCommand(command)
		if got, want := string(api.Encode(s.observed())), string(api.Encode(with(spec, "web1", want))); got != want {
			t.Errorf("%s: observed %s, expected %s", command, got, want)
		}
		s.apply(spec)
	}
	if s.worker() != worker {
		t.Error("repairing weights made a new worker")
	}
	s.runtimeCommand("disable frontend www")
	if c, _ := s.get(); len(c.Drift[unit].Pointers) != 1 || c.Drift[unit].Pointers[0] != "/frontends/www" {
		t.Errorf("a closed frontend is the drift %v", c.Drift)
	}
	s.apply(spec)
	s.runtimeCommand("set maxconn server web/web2 9")
	if got := s.observed().Backends["web"].Servers["web2"].MaxConnections; got != 509 { // and 500 of the other pool
		t.Errorf("a changed limit is observed as %d", got)
	}
	s.apply(spec)
}

func TestLabRepairsAnEditedConfiguration(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"), newBackend(t, "web2"))
	s.apply(spec)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "balance roundrobin", "balance first", 1)
	if err := os.WriteFile(config, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := reloadByHand(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.get(); !slices.Contains(c.Drift[config].Pointers, "/backends/web/algorithm") {
		t.Errorf("the edit is the drift %v", c.Drift)
	}
	// Together with a change that alone would be a command only.
	spec = with(spec, "web1", func(server *api.Server) { server.Weight = 99 })
	if impact := s.impact(spec); impact != api.ImpactReload {
		t.Errorf("the impact is %q", impact)
	}
	worker := s.worker()
	s.apply(spec)
	if s.worker() == worker {
		t.Error("the worker with the edited configuration goes on")
	}
}

func TestLabHealthChecks(t *testing.T) {
	s := newStand(t)
	web1, spare := newBackend(t, "web1"), newBackend(t, "spare")
	spec := with(over(web1, spare), "spare", func(server *api.Server) { server.Backup = true })
	s.apply(spec)
	if name := s.answered(); name != "web1" {
		t.Errorf("%s answered although web1 is up", name)
	}
	web1.healthy.Store(false)
	s.until("web1 is down", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "down"
	})
	if name := s.answered(); name != "spare" {
		t.Errorf("%s answered although web1 is down", name)
	}
	if c, _ := s.get(); len(c.Conditions) != 1 || c.Conditions[0].Type != "ServerDown" || c.Conditions[0].Pointer != "/backends/web/servers/web1" {
		t.Errorf("the conditions are %+v", c.Conditions)
	}
	spare.healthy.Store(false)
	s.until("the backend is down", func() bool {
		c, _ := s.get()
		return slices.ContainsFunc(c.Conditions, func(c api.Condition) bool { return c.Type == "BackendDown" })
	})
	web1.healthy.Store(true)
	s.until("web1 is up", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "up"
	})
}

// TestLabReloadRemembersWhoIsDown reloads while a server fails its checks: the
// new worker must not try it with requests before it has checked it itself.
func TestLabReloadRemembersWhoIsDown(t *testing.T) {
	s := newStand(t)
	web1, web2 := newBackend(t, "web1"), newBackend(t, "web2")
	spec := over(web1, web2)
	spec.Backends["web"].HealthCheck.Interval = api.Duration(2 * time.Second)
	s.apply(spec)
	web1.healthy.Store(false)
	s.until("web1 is down", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "down"
	})
	before := web1.served.Load()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		client := fresh()
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, err := ask(context.Background(), client, http.MethodGet, "/"); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range 5 {
		spec.Timeouts.Tunnel = api.Duration(time.Duration(i+1) * time.Minute)
		s.apply(spec)
		if _, status := s.get(); status.Backends["web"].Servers["web1"].State != "down" {
			t.Error("a server that is down came up by a reload")
		}
	}
	close(stop)
	<-stopped
	if tried := web1.served.Load() - before; tried > 0 {
		t.Errorf("%d requests went to a server that is down", tried)
	}
	// A moved server is another one: nothing is known of it.
	moved := newBackend(t, "web1")
	spec = with(spec, "web1", func(server *api.Server) { server.Port = moved.port })
	s.apply(spec)
	if _, status := s.get(); status.Backends["web"].Servers["web1"].State != "up" {
		t.Error("a moved server took over the state of what was there before")
	}
}

// TestLabReloadLosesNothing reloads under load: on connections that are kept
// and on fresh ones, GET and POST. Each request has to be answered once.
func TestLabReloadLosesNothing(t *testing.T) {
	s := newStand(t)
	web1, web2 := newBackend(t, "web1"), newBackend(t, "web2")
	spec := over(web1, web2)
	s.apply(spec)
	const perClient = 400
	var clients sync.WaitGroup
	failures := make(chan error, 4*perClient)
	for i, client := range []*http.Client{fresh(), fresh(), {Timeout: patience, Transport: &http.Transport{}}, {Timeout: patience, Transport: &http.Transport{}}} {
		method := []string{http.MethodGet, http.MethodPost}[i%2]
		clients.Go(func() {
			for range perClient {
				if _, _, err := ask(context.Background(), client, method, "/"); err != nil {
					failures <- err
				}
			}
		})
	}
	worker := s.worker()
	for i := range 5 {
		spec.Timeouts.Tunnel = api.Duration(time.Duration(i+1) * time.Minute)
		s.apply(spec)
		if now := s.worker(); now == worker {
			t.Error("a reload made no new worker")
		} else {
			worker = now
		}
	}
	clients.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if served := web1.served.Load() + web2.served.Load(); served != 4*perClient {
		t.Errorf("%d requests became %d", 4*perClient, served)
	}
}

func TestLabAccessLogIsComplete(t *testing.T) {
	s := newStand(t)
	s.apply(over(newBackend(t, "web1"), newBackend(t, "web2")))
	const requests = 500
	mark := fmt.Sprintf("/marked-%d", os.Getpid())
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	for i := range requests {
		if i == requests/2 { // the new worker goes on in the same journal
			if err := reloadByHand(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := ask(context.Background(), client, http.MethodGet, mark+"?token=hidden", "User-Agent", `a "quoted" \ agent`); err != nil {
			t.Fatal(err)
		}
	}
	var last string
	s.until("the journal has a line for each request", func() bool {
		output, err := exec.Command("journalctl", "--namespace=*", "-q", "-o", "cat", "-u", unit, "--grep", mark).Output()
		if err != nil {
			return false
		}
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		last = lines[len(lines)-1]
		return len(lines) == requests
	})
	var line map[string]any
	if err := json.Unmarshal([]byte(last), &line); err != nil {
		t.Fatalf("%s: %v", last, err)
	}
	if line["path"] != mark || line["status"] != 200.0 || line["user_agent"] != `a "quoted" \ agent` || line["host"] != front {
		t.Errorf("the line is %s", last)
	}
	if strings.Contains(last, "hidden") {
		t.Errorf("the query string is in the log: %s", last)
	}
}

// TestLabAccessLogCountsWhatItDrops asks as fast as it can, for a path of its
// own each time: HAProxy drops a line rather than wait, and then it has to say
// so. No line is there twice.
func TestLabAccessLogCountsWhatItDrops(t *testing.T) {
	s := newStand(t)
	s.apply(over(newBackend(t, "web1"), newBackend(t, "web2")))
	const clients, perClient = 16, 500
	mark := fmt.Sprintf("/fast-%d-", os.Getpid())
	var running sync.WaitGroup
	for client := range clients {
		running.Go(func() {
			connection := &http.Client{Timeout: patience, Transport: &http.Transport{}}
			for i := range perClient {
				path := mark + strconv.Itoa(client*perClient+i)
				if _, _, err := ask(context.Background(), connection, http.MethodGet, path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	path := regexp.MustCompile(mark + `\d+`)
	s.until("each request is in the journal or counted as dropped", func() bool {
		output, _ := exec.Command("journalctl", "--namespace=*", "-q", "-o", "cat", "-u", unit, "--grep", mark).Output()
		lines := path.FindAllString(string(output), -1)
		slices.Sort(lines)
		if found := len(lines); found != len(slices.Compact(lines)) {
			t.Fatalf("of %d lines some are there twice", found)
		}
		info, err := haproxy.Client{Socket: master}.Info(context.Background())
		return err == nil && len(lines)+info.DroppedLogs == clients*perClient
	})
}

func TestLabForwardedHeaders(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	lies := []string{"X-Forwarded-For", "198.51.100.1", "X-Forwarded-Proto", "https", "Forwarded", "for=198.51.100.1", "X-Request-Id", "mine"}
	_, got, err := ask(context.Background(), fresh(), http.MethodGet, "/", lies...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got["X-Forwarded-For"], ",") != "127.0.0.1" || got.Get("X-Forwarded-Proto") != "http" || got.Get("Forwarded") != "" {
		t.Errorf("what a stranger said of itself reached the server: %v", got)
	}
	if requestID := strings.Join(got["X-Request-Id"], ","); len(requestID) != 36 {
		t.Errorf("the request id is %q", requestID)
	}
	spec.TrustedProxies = []string{"127.0.0.0/8"}
	s.apply(spec)
	if _, got, err = ask(context.Background(), fresh(), http.MethodGet, "/", lies...); err != nil {
		t.Fatal(err)
	}
	if strings.Join(got["X-Forwarded-For"], ",") != "198.51.100.1,127.0.0.1" || got.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("what a trusted proxy said was lost: %v", got)
	}
}

func TestLabRefusalsPointAtTheSpec(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	plan := func(spec api.LoadBalancer) *api.Problem {
		_, err := s.runner.Plan(context.Background(), id, 0, api.Write{Spec: api.Encode(spec)})
		return api.AsProblem(err)
	}
	format := spec
	format.Frontends = map[string]api.Frontend{"www": {Address: "127.0.0.1", Port: 18080, Backend: "web", LogFormat: `%ci %nonsense`}}
	pattern := with(spec, "web1", func(*api.Server) {})
	pattern.Backends["web"].HealthCheck.BodyPattern = `it's (not closed`
	for pointer, spec := range map[api.Pointer]api.LoadBalancer{
		"/frontends/www/log_format":               format,
		"/backends/web/health_check/body_pattern": pattern,
	} {
		problem := plan(spec)
		if problem == nil || problem.Type != api.ProblemEngineRefused || len(problem.Violations) != 1 || problem.Violations[0].Pointer != pointer {
			t.Errorf("expected a refusal at %s, got %+v", pointer, problem)
		} else if strings.Contains(problem.Violations[0].Detail, "/") {
			t.Errorf("the detail has a path in it: %s", problem.Violations[0].Detail)
		}
	}
	nasty := format
	nasty.Frontends = map[string]api.Frontend{"www": {Address: "127.0.0.1", Port: 18080, Backend: "web", LogFormat: `%ci "it's" # \ $HOME %HM`}}
	if problem := plan(nasty); problem != nil {
		t.Errorf("a log format with quotes was refused: %v", problem)
	}
	s.apply(nasty)
	s.answered()
	s.until("the journal has the text as it was given", func() bool {
		output, _ := exec.Command("journalctl", "--namespace=*", "-q", "-o", "cat", "-u", unit, "-n", "20").Output()
		return strings.Contains(string(output), `127.0.0.1 "it's" # \ $HOME GET`)
	})
}

// TestLabFailedReloadKeepsServing claims a port that another program holds,
// which no check can foresee.
func TestLabFailedReloadKeepsServing(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	address, _ := listener.Addr().(*net.TCPAddr)
	bad := with(spec, "web1", func(*api.Server) {})
	bad.Frontends["zzz"] = api.Frontend{Address: "127.0.0.1", Port: address.Port, Backend: "web"}
	op := s.try(bad)
	if op.State != api.OperationFailed || len(op.Problem.Violations) != 1 || op.Problem.Violations[0].Pointer != "/frontends/zzz/port" {
		t.Fatalf("the operation is %s with %+v", op.State, op.Problem)
	}
	s.settled()
	if name := s.answered(); name != "web1" {
		t.Errorf("%q answered", name)
	}
}

func TestLabSurvivesItsWorker(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	if err := syscall.Kill(s.worker(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("systemd has started HAProxy again", func() bool {
		name, _, err := ask(context.Background(), fresh(), http.MethodGet, "/")
		return err == nil && name == "web1"
	})
	if err := s.units.Stop(context.Background(), unit); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.get(); c.Drift[unit].Detail == "" || len(c.Conditions) > 0 {
		t.Errorf("a stopped unit is the drift %v and the conditions %v", c.Drift, c.Conditions)
	}
	s.apply(spec)
	if name := s.answered(); name != "web1" {
		t.Errorf("%q answered", name)
	}
}

func TestLabRestartsForMoreDescriptorsOnly(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	spec.MaxConnections = 100000
	if impact := s.impact(spec); impact != api.ImpactRestart {
		t.Errorf("the impact is %q", impact)
	}
	s.apply(spec)
	status, err := s.units.Status(context.Background(), unit)
	if err != nil {
		t.Fatal(err)
	}
	spec.MaxConnections = 90000
	if impact := s.impact(spec); impact != api.ImpactReload {
		t.Errorf("the impact is %q", impact)
	}
	s.apply(spec)
	again, err := s.units.Status(context.Background(), unit)
	if err != nil || again.MainPID != status.MainPID {
		t.Errorf("a reload replaced the master: %v %v", again, err)
	}
}

func TestLabDeleteLeavesNothing(t *testing.T) {
	s := newStand(t)
	s.apply(over(newBackend(t, "web1")))
	s.delete()
	for _, path := range []string{"/etc/foobar/load-balancer/test", "/etc/systemd/system/" + unit, "/run/foobar-lb-test"} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if conn, err := net.Dial("tcp", front); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens")
	}
}
