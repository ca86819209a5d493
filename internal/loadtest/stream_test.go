package loadtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/loadtest"
)

// streamer answers with five events or three messages, and ends as its mood says.
type streamer struct {
	skip, hangUp bool
	// events and sockets count the requests of each.
	events, sockets atomic.Int64
}

func (s *streamer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/events" {
		s.events.Add(1)
		last, err := strconv.Atoi(r.Header.Get("Last-Event-ID"))
		if err != nil {
			last = 100
		}
		if s.skip {
			last++
		}
		for id := last + 1; id <= last+5; id++ {
			_, _ = fmt.Fprintf(w, "id: %d\ndata: it\n\n", id)
		}
		if s.hangUp {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return
	}
	s.sockets.Add(1)
	conn, _, _ := http.NewResponseController(w).Hijack()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"+strings.Repeat("\x81\x02it", 3))
	if !s.hangUp {
		_, _ = io.WriteString(conn, "\x88\x02\x03\xe9")
		_, _ = io.ReadFull(conn, make([]byte, 6))
	}
	_ = conn.Close()
}

func TestStreams(t *testing.T) {
	for name, s := range map[string]*streamer{
		"clean": {}, "events are missing": {skip: true}, "broken off": {hangUp: true},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(s)
			defer web.Close()
			ctx := until(t, func() bool { return s.events.Load() > 3 && s.sockets.Load() > 3 }) // the last may be broken off
			kinds, missing := map[string]int{}, 0
			for _, one := range (loadtest.Streams{Address: strings.TrimPrefix(web.URL, "http://"), Events: 1, WebSockets: 1}).Run(ctx) {
				kinds[one.Kind]++
				missing += len(one.Missing)
				if one.Clean == s.hangUp || (one.Fault != "") != s.hangUp || one.By != "it" || one.Got != map[string]int{"events": 5, "websocket": 3}[one.Kind] {
					t.Errorf("%+v", one)
				}
			}
			if kinds["events"] < 2 || kinds["websocket"] < 2 {
				t.Errorf("streams: %v", kinds)
			}
			if want := map[bool]int{true: kinds["events"] - 1}[s.skip]; missing != want {
				t.Errorf("%d events are missing, not %d", missing, want)
			}
		})
	}
}
