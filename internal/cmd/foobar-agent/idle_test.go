package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/server"
)

// A machine that has lost its identity says so to root, and the way out.
func TestStatusAndLogsOfAMachineThatLostItsIdentity(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	m.Stop()
	if err := os.WriteFile(m.Path("/var/lib/foobar/identity/identity.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, failure := m.OpenIdentity()
	if failure == nil {
		t.Fatal("the identity opens")
	}
	ctx, stop := context.WithCancel(t.Context())
	socket := filepath.Join(filepath.Dir(m.Socket()), "idle.sock")
	local, err := server.ListenLocal(socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeIdle(ctx, local, failure) }()
	agent := newLocal(socket)
	_, said := readStatus(t.Context(), agent)
	_, logs := readLogs(t.Context(), agent, []string{agentUnit}, 1)
	for _, err := range []error{said, logs} {
		if err == nil || !strings.Contains(err.Error(), "identity is lost") || !strings.Contains(err.Error(), "foobar-agent identity reset --bootstrap FILE") {
			t.Errorf("it says %v", err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket stays")
	}
}
