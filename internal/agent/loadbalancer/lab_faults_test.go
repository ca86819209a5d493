//go:build lab

package loadbalancer_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// TestLabADeadAppCostsOnlyWhatItHadInHand kills apps under load, one of two at
// a time: no GET fails, a POST only if the dead app was working on it, and no
// POST reaches two apps.
func TestLabADeadAppCostsOnlyWhatItHadInHand(t *testing.T) {
	for name, test := range map[string]struct{ agents, nginx bool }{
		"health checks alone": {}, "with agent checks": {agents: true}, "its nginx, too": {agents: true, nginx: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			// More workers than clients: an app has in flight all that it was given.
			hosts := []*appHost{newAppHost(t, "web1", 64, 20*time.Millisecond), newAppHost(t, "web2", 64, 20*time.Millisecond)}
			s.apply(overApps(128, test.agents, hosts...))
			end := load(24, 40*time.Millisecond)
			const kills = 6
			for i := range kills {
				time.Sleep(time.Second)
				if test.nginx {
					hosts[i%2].killNginx()
				}
				hosts[i%2].kill()
				time.Sleep(time.Second)
				hosts[i%2].start()
				if test.nginx {
					hosts[i%2].startNginx()
				}
			}
			time.Sleep(time.Second)
			got := count(end(), hosts...)
			t.Logf("%d kills: %s", kills, got)
			if got.Failed[http.MethodGet] > 0 || len(got.Twice) > 0 {
				t.Errorf("%d GETs failed, POSTs that reached two apps: %+v", got.Failed[http.MethodGet], got.Twice)
			}
			if allowed := 1 + got.Sent[http.MethodPost]/3000; len(got.Unseen) > allowed && !test.nginx { // what nginx had in flight is lost with it
				t.Errorf("POSTs failed that no app had in flight: %+v", got.Unseen)
			}
			if got.Failed[http.MethodPost] > 12*kills { // the clients that post
				t.Errorf("%d POSTs failed", got.Failed[http.MethodPost])
			}
		})
	}
}

// TestLabNoAppIsLeft: a client gets HAProxy's page for it, and no silence, before and
// after the servers are marked down. HAProxy has used its connections to them before.
func TestLabNoAppIsLeft(t *testing.T) {
	s := newStand(t)
	hosts := []*appHost{newAppHost(t, "web1", 4, 0), newAppHost(t, "web2", 4, 0)}
	s.apply(overApps(16, true, hosts...))
	c := &loadtest.Client{Address: front, Texts: true}
	defer c.Drop()
	refused := func(when string) {
		t.Helper()
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			got := c.Send(t.Context(), method, "/", method, nil)
			if got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Text, "503 Service Unavailable") {
				t.Errorf("a %s with %s got %+v", method, when, got)
			}
		}
	}
	for range 8 {
		if got := c.Send(t.Context(), http.MethodGet, "/", "before", nil); got.Status != http.StatusOK {
			t.Errorf("a GET got %+v", got)
		}
	}
	for _, h := range hosts {
		h.tell(api.AgentCheckUp)
		h.kill()
	}
	refused("no app left")
	for _, h := range hosts {
		h.tell(api.AgentCheckDown)
	}
	s.until("both are down", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "down" && status.Backends["web"].Servers["web2"].State == "down"
	})
	refused("both down")
}

// TestLabBothAppsDie kills both apps within a second, under load: each client gets an
// answer, also on a connection that was used before.
func TestLabBothAppsDie(t *testing.T) {
	const deaths, clients = 5, 24
	for name, test := range map[string]struct {
		agents bool
		silent int
	}{
		"health checks alone": {}, // nginx answers them
		// See README.md: one for each client that keeps its connection and GETs.
		"with agent checks": {agents: true, silent: deaths * clients / 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			hosts := []*appHost{newAppHost(t, "web1", 64, 20*time.Millisecond), newAppHost(t, "web2", 64, 20*time.Millisecond)}
			s.apply(overApps(128, test.agents, hosts...))
			end := load(clients, 20*time.Millisecond)
			for range deaths {
				time.Sleep(time.Second)
				for _, h := range hosts {
					h.kill()
					time.Sleep(300 * time.Millisecond)
				}
				for _, h := range hosts {
					h.start()
				}
			}
			time.Sleep(time.Second)
			got := count(end(), hosts...)
			answers := map[string]int{}
			var silent []loadtest.Sent
			for _, f := range got.Failures {
				answers[fmt.Sprint(f.Method, " ", f.Status)]++
				if f.Fault != "" || f.Method == http.MethodGet && f.Status != http.StatusServiceUnavailable {
					silent = append(silent, f)
				}
			}
			t.Logf("%d deaths of both: %s; %v; %d without an answer, at most %d may be", deaths, got, answers, len(silent), test.silent)
			tolerated := func(s loadtest.Sent) bool { return s.Method == http.MethodGet && s.Kept && s.Status == 0 }
			if len(silent) > test.silent || slices.ContainsFunc(silent, func(s loadtest.Sent) bool { return !tolerated(s) }) {
				t.Errorf("no answer for %+v", silent)
			}
			if answers["GET 503"] == 0 || len(got.Twice) > 0 {
				t.Errorf("%d GETs came while both were dead; POSTs that reached two apps: %+v", answers["GET 503"], got.Twice)
			}
		})
	}
}

// TestLabAnAnswerOfTheAppIsFinal: a 5xx is an answer, whatever the method.
func TestLabAnAnswerOfTheAppIsFinal(t *testing.T) {
	s := newStand(t)
	hosts := []*appHost{newAppHost(t, "web1", 4, 0), newAppHost(t, "web2", 4, 0)}
	s.apply(overApps(16, false, hosts...))
	c := &loadtest.Client{Address: front}
	var all []loadtest.Sent
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, status := range []int{500, 502, 503, 504} {
			all = append(all, c.Send(t.Context(), method, "/", method+strconv.Itoa(status), nil, "Answer", strconv.Itoa(status)))
		}
	}
	for _, h := range hosts {
		for id, times := range h.seen() {
			if times > 1 {
				t.Errorf("%s was sent %d times", id, times)
			}
		}
	}
	for _, a := range all {
		if !strings.HasSuffix(a.ID, strconv.Itoa(a.Status)) {
			t.Errorf("%s was answered with %d", a.ID, a.Status)
		}
	}
	if got := count(all, hosts...); len(got.Unseen)+len(got.Twice) > 0 {
		t.Errorf("%+v", got)
	}
}

// TestLabOverload offers three times what the apps can do, on a connection each:
// they work at full speed, and no server is marked down.
func TestLabOverload(t *testing.T) {
	const workers, takes = 4, 50 * time.Millisecond
	const warmUp, during = 2 * time.Second, 12 * time.Second
	capacity := 2 * workers * float64(time.Second/takes)
	for name, methods := range map[string][]string{
		"GET": {http.MethodGet}, "POST": {http.MethodPost}, "both": {http.MethodGet, http.MethodPost},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			hosts := []*appHost{newAppHost(t, "web1", workers, takes), newAppHost(t, "web2", workers, takes)}
			s.apply(overApps(4*workers, true, hosts...)) // see [api.Server.Shares]
			ctx, cancel := context.WithTimeout(t.Context(), during)
			defer cancel()
			begin := time.Now()
			all := loadtest.Load{Address: front, Methods: methods, Rate: 3 * capacity}.Run(ctx)
			served := map[string]int{}
			for _, r := range all {
				if at := r.Ended.Sub(begin); r.Status == http.StatusOK && at >= warmUp && at < during {
					served[r.Method]++
				}
			}
			total := served[http.MethodGet] + served[http.MethodPost]
			share := float64(total) / (during - warmUp).Seconds() / capacity
			offered := float64(len(all)) / during.Seconds()
			t.Logf("offered %.0f/s to a capacity of %.0f/s: served %.2f of it (%v), p50 %s", offered, capacity, share, served, count(all, hosts...).Median)
			switch {
			case offered < 2.5*capacity: // other rooms of the tests need the processors, too
				t.Logf("this machine could not offer three times the capacity")
			case share < 0.9:
				t.Errorf("served %.2f of the capacity", share)
			}
			if downs := s.wentDown(); downs > 0 {
				t.Errorf("servers went down %d times", downs)
			}
		})
	}
}

// wentDown counts how often servers of the backend web were marked down.
func (s *stand) wentDown() (times int) {
	s.Helper()
	for _, row := range s.statistics() {
		if row["type"] == "2" && row["pxname"] == "web" {
			n, _ := strconv.Atoi(row["chkdown"])
			times += n
		}
	}
	return times
}

func (s *stand) statistics() (rows []map[string]string) {
	s.Helper()
	conn, err := net.Dial("unix", admin)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "show stat\n")
	text, _ := io.ReadAll(conn)
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(text), "# "))).ReadAll()
	if err != nil {
		s.Fatal(err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// TestLabAgentCheck has the agent of one server say each of its words, and
// nothing, and reloads meanwhile: only a word changes a server's state.
func TestLabAgentCheck(t *testing.T) {
	s := newStand(t)
	web1, web2 := newAppHost(t, "web1", 4, 0), newAppHost(t, "web2", 4, 0)
	spec := overApps(16, true, web1, web2)
	s.apply(spec)
	c := &loadtest.Client{Address: front}
	defer c.Drop()
	serial := 0
	// gets tells whether web1 gets requests of both sorts.
	gets := func() (get, post bool) {
		before := web1.seen()
		for range 6 {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				serial++
				if got := c.Send(t.Context(), method, "/", method+strconv.Itoa(serial), nil); got.Status != http.StatusOK {
					t.Errorf("a %s got %+v", method, got)
				}
			}
		}
		for id := range web1.seen() {
			if before[id] == 0 {
				get = get || strings.HasPrefix(id, http.MethodGet)
				post = post || strings.HasPrefix(id, http.MethodPost)
			}
		}
		return get, post
	}
	stays := func(state string) {
		t.Helper()
		s.until("web1 is "+state, func() bool {
			_, status := s.get()
			return status.Backends["web"].Servers["web1"].State == state
		})
		if get, post := gets(); get != (state == "up") || post != get {
			t.Errorf("web1 is %s, and gets a GET: %t, a POST: %t", state, get, post)
		}
		s.settled()
	}
	for i, answer := range []api.AgentCheck{
		api.AgentCheckUp, api.AgentCheckDown, api.AgentCheckUp, api.AgentCheckDrain, api.AgentCheckUp,
		api.AgentCheckDrain, api.AgentCheckDown, api.AgentCheckDrain, api.AgentCheckUp, api.AgentCheckDown,
	} {
		state := map[api.AgentCheck]string{api.AgentCheckUp: "up", api.AgentCheckDrain: "drain", api.AgentCheckDown: "down"}[answer]
		web1.tell(answer)
		stays(state)
		web1.tell("") // its agent restarts, hangs, or is gone
		time.Sleep(600 * time.Millisecond)
		stays(state)
		if answer != api.AgentCheckDown { // see README.md
			spec.Timeouts.Tunnel = api.Duration(time.Duration(i+1) * time.Minute)
			s.apply(spec)
			stays(state)
		}
	}
	web1.tell("nonsense")
	time.Sleep(600 * time.Millisecond)
	stays("down")
	web1.tell(api.AgentCheckUp)
	stays("up")
	// An operator's weight counts beside what the agent says.
	s.apply(with(spec, "web1", func(server *api.Server) { server.Drain = true }))
	if get, post := gets(); get || post {
		t.Error("a drained server gets requests because its agent says that it is up")
	}
}

// TestLabA404Drains: a server that answers its check with 404 gets nothing new.
func TestLabA404Drains(t *testing.T) {
	s := newStand(t)
	web1, web2 := newBackend(t, "web1"), newBackend(t, "web2")
	web1.leaves.Store(true)
	s.apply(over(web1, web2))
	s.until("web1 drains", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "drain"
	})
	before := web1.served.Load()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for range 6 {
			if _, _, err := ask(context.Background(), fresh(), method, "/"); err != nil {
				t.Error(err)
			}
		}
	}
	if tried := web1.served.Load() - before; tried > 0 {
		t.Errorf("a draining server was asked %d times", tried)
	}
	c, _ := s.get()
	c.Conditions = slices.DeleteFunc(c.Conditions, func(c api.Condition) bool { return c.Type == "LogsDropped" }) // of a busy machine
	if len(c.Conditions) != 1 || c.Conditions[0].Type != "ServerDrained" {
		t.Errorf("the conditions are %+v", c.Conditions)
	}
	web1.leaves.Store(false)
	s.until("web1 is back", func() bool {
		_, status := s.get()
		return status.Backends["web"].Servers["web1"].State == "up"
	})
}

// TestLabAllChecksFail: what is wrong then is more often the check. Nobody
// loses a request over it, also while one of the apps is dead.
func TestLabAllChecksFail(t *testing.T) {
	s := newStand(t)
	hosts := []*appHost{newAppHost(t, "web1", 64, 0), newAppHost(t, "web2", 64, 0)}
	spec := overApps(128, false, hosts...)
	s.apply(spec)
	end := load(8, 20*time.Millisecond)
	spec.Backends["web"].HealthCheck.Status = 418 // which nobody answers
	s.apply(spec)
	s.until("the backend is down", func() bool {
		c, _ := s.get()
		return slices.ContainsFunc(c.Conditions, func(c api.Condition) bool {
			return c.Type == "BackendDown" && strings.Contains(c.Message, "unchecked")
		})
	})
	time.Sleep(time.Second)
	hosts[0].kill()
	time.Sleep(2 * time.Second)
	got := count(end(), hosts...)
	t.Logf("%s", got)
	if got.Failed[http.MethodGet]+len(got.Unseen)+len(got.Twice) > 0 {
		t.Errorf("%+v", got)
	}
}

// TestLabLogOfARetry: the log says which pool served a request and how often it
// was sent again, without the query string.
func TestLabLogOfARetry(t *testing.T) {
	s := newStand(t)
	web1, web2 := newAppHost(t, "web1", 4, 0), newAppHost(t, "web2", 4, 0)
	s.apply(overApps(16, false, web1, web2))
	web1.kill()
	c := &loadtest.Client{Address: front}
	defer c.Drop()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for i := range 4 {
			if got := c.Send(t.Context(), method, "/retried?token=hidden", fmt.Sprint(method, i), []byte("x")); got.Status != http.StatusOK {
				t.Errorf("a %s got %+v", method, got)
			}
		}
	}
	pools := map[string]string{http.MethodGet: "web", http.MethodPost: "web.once"}
	retries := map[string]float64{}
	s.until("the journal has all lines", func() bool {
		output, _ := exec.Command("journalctl", "--namespace=*", "-q", "-o", "cat", "-u", unit, "--grep", "/retried").Output()
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		lines = lines[max(0, len(lines)-8):]
		clear(retries)
		for _, text := range lines {
			var line struct {
				Method, Backend, Server string
				Retries                 float64
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				return false
			}
			if line.Backend != pools[line.Method] || line.Server != "web2" || strings.Contains(text, "hidden") {
				t.Errorf("the line is %s", text)
			}
			retries[line.Method] += line.Retries
		}
		return len(lines) == 8
	})
	if retries[http.MethodGet] == 0 || retries[http.MethodPost] == 0 {
		t.Errorf("no line tells of a retry: %v", retries)
	}
}
