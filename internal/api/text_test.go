package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// fullSpecs returns a decoder of each kind's specs, and a spec that has a value
// wherever there may be a text.
func fullSpecs() map[string]struct {
	spec   any
	decode func(json.RawMessage) error
} {
	balancer := testLoadBalancer()
	editFrontend(&balancer, "www", func(f *Frontend) { f.LogFormat = "%[src]" })
	balancer.TrustedProxies = []string{"10.0.0.0/24"}
	server := DefaultDBServer()
	server.Engine, server.ServerID, server.AllowedClients = EngineMariaDB, 1, []string{"10.0.0.0/24"}
	server.Settings = map[string]string{"max_connections": "10", "sql_mode": "ANSI", "character_set_server": "utf8mb4"}
	pair := pairOf()
	pair.Databases = map[string]DBDatabase{"notes": {Charset: "utf8mb4", Collation: "utf8mb4_bin"}}
	pair.Reseed, pair.Drop = &DBReseed{Node: "web2", Token: "1"}, &DBDrop{Databases: []string{"a"}, Users: []string{"b"}, Token: "1"}
	app := DefaultAppServer()
	app.Release.SHA256, app.Command, app.Port = strings.Repeat("0f", 32), []string{"bin/shop", "-v"}, 80
	app.Environment, app.TrustedProxies = map[string]string{"A": "b"}, []string{"10.0.0.0/24"}
	return map[string]struct {
		spec   any
		decode func(json.RawMessage) error
	}{
		"load balancer":   {balancer, decoded[LoadBalancer]},
		"app server":      {app, decoded[AppServer]},
		"database server": {server, decoded[DBServer]},
		"replication":     {pair, decoded[DBReplication]},
		"membership":      {DBMembership{Peers: pair.Witnesses, Members: []string{"lb1"}}, decoded[DBMembership]},
	}
}

func decoded[T interface{ Validate() Violations }](text json.RawMessage) error {
	var spec T
	if err := Decode(text, &spec); err != nil {
		return err
	}
	return spec.Validate().Problem()
}

// each calls f with a document that has, in place of each text, name and list in
// turn, what change makes of it.
func each(document any, change func(any) any, f func(at Pointer)) {
	var walk func(v any, at Pointer)
	walk = func(v any, at Pointer) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				was := v[name]
				if renamed, ok := change(name).(string); ok {
					delete(v, name)
					v[renamed] = was
					f(at.At(name))
					delete(v, renamed)
				}
				v[name] = change(was)
				f(at.At(name))
				v[name] = was
				walk(was, at.At(name))
			}
		case []any:
			for i, was := range v {
				v[i] = change(was)
				f(at.At(i))
				v[i] = was
				walk(was, at.At(i))
			}
		}
	}
	walk(document, "")
}

// TestWhatIsWrongIsSaidInBounds has each text, name, map and list of each spec
// as large as a body allows: what is wrong with it is found without copying it over
// and over, and the answer is no echo of it.
func TestWhatIsWrongIsSaidInBounds(t *testing.T) {
	const size, maxWork = MaxBody / 16, 1000
	grow := map[string]func(any) any{"many": many}
	for name, text := range map[string]string{ // some reach further than others
		"words": "x_X", "log formats": "%[x]", "control characters": "\x01",
	} {
		long := strings.Repeat(text, size/len(text))
		grow[name] = func(v any) any {
			if _, ok := v.(string); ok {
				return long
			}
			return v
		}
	}
	for kind, c := range fullSpecs() {
		for name, change := range grow {
			var document any
			read := json.NewDecoder(bytes.NewReader(Encode(c.spec)))
			read.UseNumber()
			if err := read.Decode(&document); err != nil {
				t.Fatal(err)
			}
			if err := c.decode(Encode(document)); err != nil {
				t.Fatalf("the %s is not valid: %v", kind, err)
			}
			each(document, change, func(at Pointer) {
				text := Encode(document)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := c.decode(text)
				runtime.ReadMemStats(&after)
				if work := (after.TotalAlloc - before.TotalAlloc) / uint64(len(text)); work > maxWork {
					t.Errorf("%s, %s at %s: %d bytes are allocated for each one", kind, name, at, work)
				}
				if p := AsProblem(err); p != nil && len(Encode(p)) > MaxBody/20 {
					t.Errorf("%s, %s at %s: a problem of %d bytes, which begins %.200s", kind, name, at, len(Encode(p)), p)
				}
			})
		}
	}
}

// many repeats the first member of a map, under names of their own, or of a list.
func many(v any) any {
	const most = 2_000
	switch v := v.(type) {
	case map[string]any:
		more := maps.Clone(v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			for i := len(more); i < most; i++ {
				more[fmt.Sprint("x", i)] = v[name]
			}
		}
		return more
	case []any:
		more := slices.Clone(v)
		for i := len(more); i < most && len(v) > 0; i++ {
			more = append(more, v[0])
		}
		return more
	}
	return v
}

func TestAShortenedTextEndsWithACharacter(t *testing.T) {
	for most := 7; most < 12; most++ {
		got := Shorten(strings.Repeat("€", 10), most)
		if !utf8.ValidString(got) || len(got) > most+len("…") || !strings.HasSuffix(got, "€…") {
			t.Errorf("of %d bytes is left %q", most, got)
		}
	}
	if got := Shorten("€", 3); got != "€" {
		t.Errorf("a short text became %q", got)
	}
}
