package loadtest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// server notes what it gets, and answers a few of them as its faults say.
type server struct {
	mu          sync.Mutex
	apps        loadtest.Apps
	connections map[string]bool
}

func (s *server) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps.Began[r.Header.Get("Id")]++
	s.apps.Done[r.Header.Get("Id")]++
	s.connections[r.RemoteAddr] = true
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.apps.Began)
}

// until returns a context that ends when a condition holds, or the test has waited
// for it too long.
func until(t *testing.T, holds func() bool) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		defer cancel()
		for !holds() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	return ctx
}

func TestALoadIsCountedOnBothSides(t *testing.T) {
	s := &server{apps: loadtest.Apps{Began: map[string]int{}, Done: map[string]int{}}, connections: map[string]bool{}}
	web := httptest.NewServer(s)
	defer web.Close()
	for name, load := range map[string]loadtest.Load{
		"clients": {Clients: 8, Pause: time.Millisecond}, "a rate": {Rate: 500},
	} {
		load.Address, load.Name = strings.TrimPrefix(web.URL, "http://"), name
		more := len(s.apps.Began) + 200
		a := loadtest.Count(load.Run(until(t, func() bool { return s.requests() >= more })), s.apps)
		if a.Sent[http.MethodGet] < 10 || a.Sent[http.MethodPost] < 10 || len(a.Failures)+len(a.Lost)+len(a.Twice) > 0 {
			t.Errorf("%s: %s", name, a)
		}
	}
	kept := len(s.apps.Began) - len(s.connections)
	if kept < 10 || len(s.connections) < 10 {
		t.Errorf("%d requests came over %d connections", len(s.apps.Began), len(s.connections))
	}
}

func TestFreshClientsKeepNoConnection(t *testing.T) {
	s := &server{apps: loadtest.Apps{Began: map[string]int{}, Done: map[string]int{}}, connections: map[string]bool{}}
	web := httptest.NewServer(s)
	defer web.Close()
	load := loadtest.Load{Address: strings.TrimPrefix(web.URL, "http://"), Name: "fresh", Clients: 8, Fresh: true, Pause: time.Millisecond}
	sent := load.Run(until(t, func() bool { return s.requests() >= 40 }))
	if len(sent) < 40 || len(s.connections) != len(sent) {
		t.Errorf("%d requests came over %d connections", len(sent), len(s.connections))
	}
}

func TestAClientSaysWhetherItKeptItsConnection(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	for _, fresh := range []bool{true, false} {
		c := &loadtest.Client{Address: strings.TrimPrefix(web.URL, "http://"), Close: fresh}
		first, second := c.Send(t.Context(), http.MethodGet, "/", "1", nil), c.Send(t.Context(), http.MethodGet, "/", "2", nil)
		if first.Kept || second.Kept == fresh {
			t.Errorf("a fresh one for each %t: %+v, %+v", fresh, first, second)
		}
		c.Drop()
	}
}

func TestAClientKeepsTextsWhereItIsToldTo(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer web.Close()
	for _, texts := range []bool{true, false} {
		c := &loadtest.Client{Address: strings.TrimPrefix(web.URL, "http://"), Texts: texts}
		for _, text := range []string{"one", "two"} {
			if s := c.Send(t.Context(), http.MethodPost, "/", "id", []byte(text)); s.Status != http.StatusOK || s.Text != map[bool]string{true: text}[texts] {
				t.Errorf("%t: %+v", texts, s)
			}
		}
		c.Drop()
	}
}

func TestCount(t *testing.T) {
	post := func(id string, status int, by string) loadtest.Sent {
		return loadtest.Sent{ID: id, Method: http.MethodPost, Status: status, By: by}
	}
	a := loadtest.Count([]loadtest.Sent{
		post("good", 200, ""), post("lost", 200, ""), post("twice", 200, ""),
		post("in flight", 502, "nginx"), post("passed on", 502, "nginx"), post("begun", 0, ""), post("unseen", 503, ""), post("refused", 425, "nginx"),
		{ID: "read", Method: http.MethodGet, Status: 200}, {ID: "unread", Method: http.MethodGet},
	}, loadtest.Apps{
		Began: map[string]int{"good": 1, "twice": 2, "in flight": 1, "begun": 1, "read": 2},
		Done:  map[string]int{"good": 1, "twice": 2, "read": 2},
	})
	ids := func(all []loadtest.Sent) string {
		var ids []string
		for _, s := range all {
			ids = append(ids, s.ID)
		}
		return strings.Join(ids, ", ")
	}
	for what, c := range map[string]struct{ got, want string }{
		"lost":     {ids(a.Lost), "lost"},
		"twice":    {ids(a.Twice), "twice"},
		"unseen":   {ids(a.Unseen), "unseen, refused"},
		"failures": {ids(a.Failures), "in flight, passed on, begun, unseen, refused, unread"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s; want %s", what, c.got, c.want)
		}
	}
	if a.Sent[http.MethodPost] != 8 || a.Failed[http.MethodPost] != 5 || a.Sent[http.MethodGet] != 2 || a.Failed[http.MethodGet] != 1 {
		t.Errorf("%s", a)
	}
}

func TestInFlight(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	s := loadtest.Sent{Began: at(10), Ended: at(20)}
	for _, c := range []struct {
		from, to int64
		want     bool
	}{{1, 9, false}, {1, 10, true}, {12, 13, true}, {20, 30, true}, {21, 30, false}} {
		if got := s.InFlight(at(c.from), at(c.to)); got != c.want {
			t.Errorf("between %d and %d: %t", c.from, c.to, got)
		}
	}
}
