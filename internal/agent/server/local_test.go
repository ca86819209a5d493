package server

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestLocalSocket(t *testing.T) {
	b := newBench(t, true)
	path := filepath.Join(t.TempDir(), "run", "agent.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil { // what a killed agent left
		t.Fatal(err)
	}
	listener, err := ListenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("socket %v, %v; want mode 0600", info.Mode(), err)
	}
	served := make(chan error, 1)
	go func() { served <- b.local.Serve(listener) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	ask := func(method, path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(api.HeaderMachine, "web1")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	response := ask("GET", "/v1/health")
	var health api.Health
	if err := json.NewDecoder(response.Body).Decode(&health); err != nil || health.Node != "web1" {
		t.Errorf("health %+v, %v", health, err)
	}
	_ = response.Body.Close()
	response = ask("DELETE", "/v1/load-balancer/www")
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("a deletion from the machine itself: %d, want 403", response.StatusCode)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve ended with %v", err)
	}
}

func TestLocalCallerIsWhoRunsTheAgent(t *testing.T) {
	b := newBench(t, true)
	tests := map[string]struct {
		ctx  context.Context
		want api.Role
	}{
		"the same user": {context.WithValue(t.Context(), credentials{}, uint32(os.Geteuid())), roleLocal},
		"another user":  {context.WithValue(t.Context(), credentials{}, uint32(os.Geteuid()+1)), ""},
		"nobody":        {context.WithValue(t.Context(), credentials{}, nobody), ""},
		"not known":     {t.Context(), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(test.ctx, http.MethodGet, "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			caller, err := b.localCaller(request)
			if caller.Role != test.want || (err == nil) != (test.want != "") {
				t.Errorf("caller %+v, %v; want role %q", caller, err, test.want)
			}
		})
	}
}
