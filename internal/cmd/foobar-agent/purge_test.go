package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestPurgeShowsFirstAndDeletesByName(t *testing.T) {
	left := api.Leftovers{
		Directories: []api.LeftoverDirectory{{Path: "/var/lib/foobar-app/shop", Holds: "the app's data", Usage: "5 MiB in 2 files"}}, User: "app-shop",
	}
	var all api.AllLeftovers
	var asked []string
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", socket) //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get(api.HeaderMachine))
		if strings.HasSuffix(r.URL.Path, "health") {
			_ = json.NewEncoder(w).Encode(api.Health{Node: "web1"})
			return
		}
		if strings.HasSuffix(r.URL.Path, "leftovers") {
			_ = json.NewEncoder(w).Encode(all)
			return
		}
		_ = json.NewEncoder(w).Encode(left)
	}))
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)

	run := func(component, consent string) string {
		t.Helper()
		var out bytes.Buffer
		if err := purge(t.Context(), newLocal(socket), component, consent, &out); err != nil {
			out.WriteString(err.Error())
		}
		return out.String()
	}
	shown := run("app-server/shop", "")
	for _, want := range []string{"/var/lib/foobar-app/shop: the app's data, 5 MiB in 2 files", "the account app-shop", "foobar-agent purge -consent shop app-server/shop"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if shown := run("app-server/shop", "shop"); !strings.Contains(shown, "deleted now") || strings.Contains(shown, "-consent") {
		t.Errorf("it tells\n%s", shown)
	}
	left = api.Leftovers{}
	if shown := run("app-server/shop", ""); shown != "Nothing is left of app-server/shop.\n" {
		t.Errorf("of nothing it tells %q", shown)
	}
	if shown := run("shop", ""); !strings.Contains(shown, "app-server/shop") {
		t.Errorf("of no component it tells %q", shown)
	}
	list := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := listLeftovers(t.Context(), newLocal(socket), &out); err != nil {
			t.Error(err)
		}
		return out.String()
	}
	if shown := list(); !strings.Contains(shown, "No component that was destroyed") {
		t.Errorf("of no leftovers it tells %q", shown)
	}
	all.Components = []api.ComponentLeftovers{{ID: api.ID{Kind: api.KindAppServer, Name: "blog"}, Leftovers: api.Leftovers{User: "app-blog"}}}
	if shown := list(); !strings.Contains(shown, "What app-server/blog has left:\n  the account app-blog\n") || !strings.Contains(shown, "purge -consent blog app-server/blog") {
		t.Errorf("of all leftovers it tells %q", shown)
	}
	const path = "/v1/leftovers/app-server/shop"
	if want := []string{"GET " + path + " ", "GET /v1/health ", "DELETE " + path + "?consent=shop web1", "GET " + path + " ", "GET /v1/leftovers ", "GET /v1/leftovers "}; !slices.Equal(asked, want) {
		t.Errorf("asked was %q", asked)
	}
}
