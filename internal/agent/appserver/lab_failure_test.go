//go:build lab

package appserver_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// serves fails unless the named release answers on a port.
func (s *stand) serves(release string, url string) {
	s.Helper()
	if response, answer := s.ask(http.MethodGet, url, nil, nil); answer.Release != release {
		output, _ := exec.CommandContext(context.Background(), "journalctl", "--namespace=*", "--output=short-precise", "--no-pager", "--lines=30", "--unit=foobar-app-*").CombinedOutput()
		s.Errorf("%s: status %d from release %q, want %q; the last lines of the logs:\n%s", url, response.status, answer.Release, release, output)
	}
}

func TestABadReleaseLeavesTheOldOneServing(t *testing.T) {
	const url = "http://127.0.0.1:8081/"
	s := newStand(t)
	good := s.spec(s.release("good"), 8081)
	s.apply("shop", good, nil)
	python := func(code string) string { return s.upload(map[string]entry{"main.py": {code, 0o644}}) }

	cases := []struct {
		name   string
		change func(*api.AppServer)
		// detail and log are found in the problem, pointer is its violation's.
		detail, log string
		pointer     api.Pointer
		// untouched tells that the old process is still the same.
	}{
		{
			name: "it crashes at start",
			change: func(a *api.AppServer) {
				a.Release.SHA256 = python("import sys\nprint('reading the settings', flush=True)\nsys.exit('no such table: users')")
			},
			detail: "by itself", log: "no such table: users", pointer: "/command",
		},
		{
			name: "it never listens",
			change: func(a *api.AppServer) {
				a.Release.SHA256 = python("import time\nprint('sleeping', flush=True)\ntime.sleep(3600)")
			},
			detail: "did not answer", log: "sleeping",
		},
		{
			name:   "its health check fails",
			change: func(a *api.AppServer) { a.Release.SHA256, a.HealthCheck.Path = s.release("bad"), "/broken" },
			detail: "answered 500 instead of 200", log: "started bad",
		},
		{
			name:   "its program is missing",
			change: func(a *api.AppServer) { a.Release.SHA256, a.Command = s.release("bad"), []string{"./bin/shop"} },
			detail: "does not exist", pointer: "/command/0",
		},
		{
			name: "its program is not executable",
			change: func(a *api.AppServer) {
				a.Release.SHA256, a.Command = s.upload(map[string]entry{"shop": {"#!/bin/sh\n", 0o644}}), []string{"./shop"}
			},
			detail: "chmod +x", pointer: "/command/0",
		},
		{
			name: "its interpreter is not on this machine",
			change: func(a *api.AppServer) {
				a.Release.SHA256, a.Command = s.upload(map[string]entry{"shop": {"#!/home/me/venv/bin/python\n", 0o755}}), []string{"./shop"}
			},
			detail: "/home/me/venv/bin/python", pointer: "/command/0",
		},
		{
			name:   "there is no such program",
			change: func(a *api.AppServer) { a.Command = []string{"pyhton3", "main.py"} },
			detail: "is no program of this machine", pointer: "/command/0",
		},
		{
			name: "the kernel refuses its program",
			change: func(a *api.AppServer) {
				a.Release.SHA256, a.Command = s.upload(map[string]entry{"shop": {"not a program", 0o755}}), []string{"./shop"}
			},
			log: "status=203/EXEC", detail: "neither a program for Linux nor a script", pointer: "/command/0",
		},
		{
			name: "its program is for another machine",
			change: func(a *api.AppServer) {
				s390 := "\x7fELF\x02\x02\x01" + strings.Repeat("\x00", 11) + "\x00\x16" + strings.Repeat("\x00", 44)
				a.Release.SHA256, a.Command = s.upload(map[string]entry{"shop": {s390, 0o755}}), []string{"./shop"}
			},
			detail: "is a program for s390x, and this machine is " + runtime.GOARCH, pointer: "/command/0",
		},
		{
			name:   "the machine has no such address",
			change: func(a *api.AppServer) { a.Address = "192.0.2.1" },
			detail: "192.0.2.1 is not an address of this machine", pointer: "/address",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &stand{T: t, runner: s.runner, blobs: s.blobs, units: s.units}
			unit := s.live("shop")
			before := s.pid(unit)
			bad := good
			bad.HealthCheck.StartTimeout = api.Duration(5 * time.Second)
			c.change(&bad)
			problem := s.refused("shop", bad)
			if !strings.Contains(problem.Error(), c.detail) {
				t.Errorf("problem: %v", problem)
			}
			if all := strings.Join(problem.Log, "\n"); !strings.Contains(all, c.log) || strings.Contains(all, "good") {
				t.Errorf("log: %s", all)
			}
			if c.pointer != "" && (len(problem.Violations) != 1 || problem.Violations[0].Pointer != c.pointer) {
				t.Errorf("violations: %v", problem.Violations)
			}
			if after := s.pid(unit); after != before || s.live("shop") != unit {
				t.Errorf("the good release was restarted: %d became %d", before, after)
			}
			s.eventually("the old release answers again", func() bool {
				response, answer := s.ask(http.MethodGet, url, nil, nil)
				return response.status == http.StatusOK && answer.Release == "good"
			})
			if component, status := s.get("shop"); len(component.Drift) > 0 || status.Release != good.Release.SHA256 {
				t.Errorf("afterwards: drift %v, release %s", component.Drift, status.Release)
			}
		})
	}
}

func TestOneOfTwoAppServersIsBroken(t *testing.T) {
	s := newStand(t)
	s.apply("fine", s.spec(s.release("fine"), 8081), nil)
	broken := s.spec(s.upload(map[string]entry{"main.py": {"raise SystemExit('broken')", 0o644}}), 8082)
	if problem := s.refused("broken", broken); !strings.Contains(strings.Join(problem.Log, "\n"), "broken") {
		t.Errorf("problem: %v %q", problem, problem.Log)
	}
	s.serves("fine", "http://127.0.0.1:8081/")

	// The same with one that was fine once and then loses its app.
	s.apply("broken", s.spec(s.release("second"), 8082), nil)
	s.serves("second", "http://127.0.0.1:8082/")
	unit := s.live("broken")
	if err := os.RemoveAll("/srv/broken"); err != nil {
		t.Fatal(err)
	}
	s.signal(unit, syscall.SIGKILL)
	s.eventually("nginx says that the app is gone", func() bool {
		response, _ := s.ask(http.MethodGet, "http://127.0.0.1:8082/", nil, nil)
		return response.status == http.StatusBadGateway
	})
	s.serves("fine", "http://127.0.0.1:8081/")
	c, status := s.get("broken")
	if status.Healthy || len(c.Drift) == 0 {
		t.Errorf("the broken one: %+v, drift %v", status, c.Drift)
	}
	s.apply("broken", s.spec(s.release("second"), 8082), nil)
	s.serves("second", "http://127.0.0.1:8082/")
}

func TestWhatRunsUnlikeTheFilesIsDriftAndRepaired(t *testing.T) {
	const url = "http://127.0.0.1:8081/"
	s := newStand(t)
	one, two := s.release("one"), s.release("two")
	s.apply("drift", s.spec(one, 8081), nil)
	spec := s.spec(two, 8081)
	s.apply("drift", spec, nil)
	s.serves("two", url)
	const nginx = "foobar-app-drift-nginx.service"
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, drift ...string) {
		t.Helper()
		c, _ := s.get("drift")
		var keys []string
		for key := range c.Drift {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if !slices.Equal(keys, drift) {
			t.Errorf("%s: drift %v, want that of %q", what, c.Drift, drift)
		}
		s.apply("drift", spec, nil)
		s.serves("two", url)
		if c, _ := s.get("drift"); len(c.Drift) > 0 {
			t.Errorf("%s: after the repair there is drift %v", what, c.Drift)
		}
	}
	const config = "/etc/foobar/app-server/drift/nginx.conf"
	link := func() string {
		t.Helper()
		target, err := os.Readlink("/srv/drift/current")
		must(err)
		return "/srv/drift/" + target + "/release"
	}
	relink := func(target string) {
		t.Helper()
		must(os.Remove(link()))
		must(os.Symlink(target, link()))
	}
	wanted, err := os.Readlink(link())
	must(err)

	relink("../../releases/" + one[:12])
	must(s.units.Restart(ctx, s.live("drift")))
	expect("another release, linked and run", link(), s.live("drift"))

	relink("../../releases/" + one[:12])
	must(s.units.Restart(ctx, s.live("drift")))
	relink(wanted)
	expect("another release, run only", s.live("drift"))

	text, err := os.ReadFile(config)
	must(err)
	edited := strings.Replace(string(text), "return 200 \"", "return 200 \"edited", 1)
	must(os.WriteFile(config, []byte(edited), 0o644))
	must(s.units.Reload(ctx, nginx))
	s.eventually("nginx runs the edit", func() bool { c, _ := s.get("drift"); return len(c.Drift) == 2 })
	must(os.WriteFile(config, text, 0o644))
	expect("another nginx configuration, run only", nginx)

	must(s.units.Stop(ctx, s.live("drift")))
	expect("a stopped app", s.live("drift"))
	must(s.units.Stop(ctx, nginx))
	expect("a stopped nginx", nginx)
	must(os.RemoveAll("/srv/drift/releases/" + two[:12]))
	expect("a deleted release", "/srv/drift/releases/"+two[:12])
	socket := filepath.Join(filepath.Dir(link()), "app.sock")
	must(os.Remove(socket))
	expect("a deleted link to the socket", socket)
}

func TestNginxThatCannotListenIsExplained(t *testing.T) {
	s := newStand(t)
	var config net.ListenConfig
	other, err := config.Listen(context.Background(), "tcp", "127.0.0.1:8081")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // nothing is lost with it
	spec := s.spec(s.release("blocked"), 8081)
	spec.Address = "127.0.0.1"
	problem := s.refused("blocked", spec)
	want := fmt.Sprintf("(PID %d)", os.Getpid())
	if len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/port" || !strings.Contains(problem.Violations[0].Detail, want) {
		t.Errorf("problem: %v %q, want one of /port that says %s", problem, problem.Log, want)
	}
}

func TestKilledNginxComesBack(t *testing.T) {
	s := newStand(t)
	s.apply("back", s.spec(s.release("back"), 8081), nil)
	before := s.pid("foobar-app-back-nginx.service")
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.eventually("nginx is back and knows its configuration", func() bool {
		c, _ := s.get("back")
		after := s.pid("foobar-app-back-nginx.service")
		return after != 0 && after != before && len(c.Drift) == 0
	})
	s.serves("back", "http://127.0.0.1:8081/")
}

// TestAReleaseStaysThoughTheOldOneDoesNotStop within the operation's time: the agent goes
// on with that by itself, and the slot says so until then.
func TestAReleaseStaysThoughTheOldOneDoesNotStop(t *testing.T) {
	s := newStand(t)
	ignores := "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
	spec := s.spec(s.upload(map[string]entry{"main.py": {ignores + "RELEASE = \"one\"\n" + echo, 0o644}}), 8081)
	spec.StopTimeout = api.Duration(5 * time.Minute)
	s.apply("shop", spec, nil)
	old := s.live("shop")
	spec.Release.SHA256 = s.release("two")
	raw := api.Encode(spec)
	op, err := s.runner.Apply(t.Context(), operation.Request{
		ID: app("shop"), Operation: api.OperationID(api.VerbApply, app("shop"), 1, raw, ""), Base: 1, Actor: "test",
		Write: api.Write{Spec: raw, TimeoutSeconds: 15},
	})
	if err != nil {
		t.Fatal(err)
	}
	if op = s.wait(op); op.State != api.OperationApplied || op.Generation != 2 {
		t.Fatalf("it ended as %s: %v", op.State, op.Problem)
	}
	s.serves("two", "http://127.0.0.1:8081/")
	if _, status := s.get("shop"); status.Slots["blue"].State != api.SlotDraining || status.Slots["blue"].Release == spec.Release.SHA256 || s.pid(old) == 0 {
		t.Errorf("meanwhile the slots are %+v", status.Slots)
	}
	s.signal(old, syscall.SIGKILL)
	s.eventually("the old release is gone", func() bool {
		c, status := s.get("shop")
		return len(c.Drift) == 0 && len(c.Conditions) == 0 && status.Slots["blue"].State == api.SlotEmpty
	})
}

// TestAnOldReleaseThatIsKilledIsAWarning with the attribute to change.
func TestAnOldReleaseThatIsKilledIsAWarning(t *testing.T) {
	s := newStand(t)
	ignores := "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
	spec := s.spec(s.upload(map[string]entry{"main.py": {ignores + "RELEASE = \"one\"\n" + echo, 0o644}}), 8081)
	spec.StopTimeout = api.Duration(time.Second)
	s.apply("shop", spec, nil)
	spec.Release.SHA256 = s.release("two")
	s.warned(s.try("shop", spec, nil), "AppKilled: The old release had not ended stop_timeout (1s) after SIGTERM, and was killed")
	spec.Release.SHA256 = s.release("three")
	s.warned(s.try("shop", spec, nil), "") // "two" ends at SIGTERM
}

// TestAShortBacklogIsAWarning that names Python's attribute, until it is set.
func TestAShortBacklogIsAWarning(t *testing.T) {
	s := newStand(t)
	short := strings.Replace(echo, "request_queue_size = 128", "request_queue_size = 5", 1)
	spec := s.spec(s.upload(map[string]entry{"main.py": {"RELEASE = \"one\"\n" + short, 0o644}}), 8081)
	s.warned(s.try("shop", spec, nil), "BacklogShort: The app lets 5 connections wait at its socket")
	spec.Release.SHA256 = s.release("two")
	s.warned(s.try("shop", spec, nil), "")
}

// The agent, which is root, opens any socket; nginx is in the app's group. A release that
// closes its socket to that is refused before the traffic goes there.
func TestAReleaseWhoseSocketNginxCannotOpenSeesNoRequest(t *testing.T) {
	const address = "127.0.0.1:8081"
	s := newStand(t)
	spec := s.spec(s.countedRelease("good", ""), 8081)
	s.apply("shop", spec, nil)
	s.nothingLost(loadtest.Load{Address: address, Name: "closed sockets"}, func() {
		for code, part := range map[string]string{
			"import os\nos.umask(0o177)\n":                                        "umask 007",
			"import os\nos.chmod(os.path.dirname(os.environ['SOCKET']), 0o700)\n": "0750",
		} {
			bad := spec
			bad.Release.SHA256 = s.countedRelease("closed", code)
			if problem := s.refused("shop", bad); !strings.Contains(problem.Error(), part) {
				t.Errorf("problem: %v", problem)
			}
			s.serves("good", "http://"+address+"/")
		}
	})
}

// A release that listened on the ports of both slots would answer for the next one, pass
// the gate in its place, and be stopped with its own slot: it may not. Nor does anybody
// else pass in the place of a release.
func TestNobodyElseListensForARelease(t *testing.T) {
	const url = "http://127.0.0.1:8081/"
	s := newStand(t)
	both := strings.Replace(echo, "print(\"started\"", `import threading
for port in (8084, 8085):
    if port != int(os.environ["PORT"]):
        threading.Thread(target=Server(("127.0.0.1", port), Handler).serve_forever, daemon=True).start()
print("started"`, 1)
	greedy := s.spec(s.upload(map[string]entry{"main.py": {"RELEASE = \"greedy\"\n" + both, 0o644}}), 8081)
	greedy.AppPorts = []int{8084, 8085}
	if problem := s.refused("shop", greedy); !strings.Contains(strings.Join(problem.Log, "\n"), "Operation not permitted") {
		t.Errorf("problem: %v %q", problem, problem.Log)
	}

	spec := greedy
	spec.Release.SHA256 = s.release("first")
	s.apply("shop", spec, nil)
	stranger, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:8085")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close() //nolint:errcheck // it is closed already
	next := spec
	next.Release.SHA256 = s.release("next")
	if problem := s.refused("shop", next); !strings.Contains(problem.Error(), "port 8085 of slot green is taken by") {
		t.Errorf("problem: %v", problem)
	}
	s.serves("first", url)
	if err := stranger.Close(); err != nil {
		t.Fatal(err)
	}
	s.apply("shop", next, nil)
	s.serves("next", url)
}
