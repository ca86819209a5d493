//go:build lab && full

package acceptance

import (
	"context"
	"encoding/csv"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// statistics returns what HAProxy counts of the servers of the backend that gets
// the requests which may be sent again.
func (s *stack) statistics() []map[string]string {
	s.t.Helper()
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(s.engine("show stat")), "# "))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		if row["type"] == "2" && row["pxname"] == "web" {
			rows = append(rows, row)
		}
	}
	return rows
}

// up waits until both apps answer and HAProxy takes both servers for up.
func (s *stack) up() {
	s.t.Helper()
	s.soon("not both servers are up", func() (string, bool) {
		found := ""
		for _, address := range []string{"10.0.0.1", "10.0.0.2"} {
			if _, err := answerOf(s.t.Context(), "http://"+address+"/healthz"); err != nil {
				return err.Error(), false
			}
		}
		for _, row := range s.statistics() {
			found += row["svname"] + " " + row["status"] + " "
		}
		return found, found == "web1 UP web2 UP "
	})
}

// downs counts how often HAProxy has taken a server for down.
func (s *stack) downs() (times int) {
	s.t.Helper()
	for _, row := range s.statistics() {
		n, err := strconv.Atoi(row["chkdown"])
		if err != nil {
			s.t.Fatal(err)
		}
		times += n
	}
	return times
}

// span is the time in which something was killed: from the order to its end.
type span struct{ from, to time.Time }

// watched does something that ends what listens at an address, and returns when that
// was. What takes connections ends last: up to then the kernel accepts them for
// processes that are dead already, so the span begins with the order.
func watched(ctx context.Context, address string, do func()) span {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan span, 1)
	kill := span{from: time.Now()}
	go func() {
		defer func() { result <- kill }()
		for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			conn, err := (&net.Dialer{Timeout: 50 * time.Millisecond}).DialContext(ctx, "tcp", address)
			if kill.to = time.Now(); err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	do()
	cancel()
	return <-result
}

// TestKillsUnderLoad kills an app, its nginx and its machine, again and again: what
// fails then is what the dead had in flight, and no POST is sent to two.
func TestKillsUnderLoad(t *testing.T) {
	l := newReleaseStack(t)
	l.pack("first")
	l.apply()
	l.settled()
	systemctl := func(unit func(machine string) string) func(string) {
		return func(machine string) { l.lab.Exec(machine, "systemctl", "kill", "--signal=KILL", unit(machine)) }
	}
	addresses := map[string]string{"web1": "10.0.0.1:80", "web2": "10.0.0.2:80"}
	for _, test := range []struct {
		what  string
		times int
		kill  func(machine string)
		// listens is set if what is killed accepts the connections of the load balancer.
		listens bool
		// flies is set if the requests in flight are lost with it, GETs too.
		flies bool
	}{
		{what: "an app", times: 8, kill: systemctl(l.app)},
		{what: "its nginx", times: 10, kill: systemctl(func(string) string { return "foobar-app-notes-nginx.service" }), listens: true},
		{what: "its machine", times: 4, kill: func(machine string) { l.lab.Kill(machine) }, listens: true, flies: true},
	} {
		t.Run(test.what, func(t *testing.T) {
			l.t = t
			var spans []span
			load := l.start(loadtest.Load{Address: front, Clients: 24, Pause: 40 * time.Millisecond})
			for i := range test.times {
				time.Sleep(time.Second) // of load
				machine := []string{"web1", "web2"}[i%2]
				spans = append(spans, watched(t.Context(), addresses[machine], func() { test.kill(machine) }))
				l.up()
			}
			time.Sleep(time.Second)
			a := load.account(test.what + ", killed " + strconv.Itoa(test.times) + " times")
			wentWith := func(s loadtest.Sent, applies bool) bool {
				if !applies {
					return false
				}
				for _, k := range spans {
					if s.InFlight(k.from, k.to) {
						return true
					}
				}
				return false
			}
			var gets, posts []loadtest.Sent
			for _, s := range a.Failures {
				if s.Method == http.MethodGet && !wentWith(s, test.flies) {
					gets = append(gets, s)
				}
			}
			for _, s := range a.Unseen {
				if !wentWith(s, test.listens) {
					posts = append(posts, s)
				}
			}
			if len(gets) > 0 {
				t.Errorf("GETs failed: %+v, kills %v", gets, spans)
			}
			if allowed := 1 + a.Sent[http.MethodPost]/3000; len(posts) > allowed {
				t.Errorf("%d POSTs failed that nobody had in flight: %+v, kills %v", len(posts), posts, spans)
			}
			if len(a.Lost)+len(a.Twice) > 0 {
				t.Errorf("lost %+v, twice %+v", a.Lost, a.Twice)
			}
			if most := 12 * test.times; a.Failed[http.MethodPost] > most { // the clients that post
				t.Errorf("%d POSTs failed; clients had at most %d on their way", a.Failed[http.MethodPost], most)
			}
		})
	}
	l.t = t
	l.settled()
	l.runs()
}

// TestThreeTimesTheCapacity offers that: the apps work at full speed, and no server
// is taken for down.
func TestThreeTimesTheCapacity(t *testing.T) {
	const capacity, warmUp, during = 2 * 4 / 0.05, 3 * time.Second, 18 * time.Second
	l := newReleaseStack(t, environment, `environment = { NOTES_SERVER = name, WORK = "0.05", WORKERS = "4" }`,
		`max_connections = 5000`, "max_connections = 5000\n  app_workers = 4")
	l.pack("first")
	l.apply()
	l.settled()
	began := time.Now()
	load := l.start(loadtest.Load{Address: front, Rate: 3 * capacity})
	time.Sleep(during)
	all := load.end().Sent
	served := 0
	for _, s := range all {
		if at := s.Ended.Sub(began); s.Status == http.StatusOK && at > warmUp && at < during {
			served++
		}
	}
	share := float64(served) / (during - warmUp).Seconds() / capacity
	a := loadtest.Count(all, l.noted())
	offered := float64(len(all)) / during.Seconds()
	t.Logf("offered %.0f/s to a capacity of %.0f/s: served %.2f of it; %s", offered, capacity, share, a)
	if offered < 2.9*capacity {
		t.Errorf("offered were %.0f/s, not three times the capacity", offered)
	}
	if share < 0.9 {
		t.Errorf("served %.2f of the capacity", share)
	}
	if len(a.Lost)+len(a.Twice) > 0 {
		t.Errorf("lost %+v, twice %+v", a.Lost, a.Twice)
	}
	if n := l.downs(); n > 0 {
		t.Errorf("servers were taken for down %d times", n)
	}
	l.settled()
}
