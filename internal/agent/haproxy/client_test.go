package haproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// master is a socket that answers as HAProxy's master does: one command a
// connection, the answer to its end.
func master(t *testing.T, answer func(command string) string) Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "master.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked, _ := io.ReadAll(conn) // as the master does for a worker's command
			line := string(asked)
			_, _ = conn.Write([]byte(answer(strings.TrimSuffix(line, "\n"))))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return Client{Socket: socket}
}

func TestClientAsksMasterAndWorker(t *testing.T) {
	var asked []string
	c := master(t, func(command string) string {
		asked = append(asked, command)
		return recorded(t, map[string]string{
			"show proc": "proc", "reload": "reload-ok", "@1 show info": "info", "@1 show stat": "stat", "@1 show servers state": "servers",
		}[command])
	})
	ctx := t.Context()
	processes, err := c.Processes(ctx)
	if err != nil || processes.Worker != 19722 {
		t.Errorf("processes are %+v, %v", processes, err)
	}
	if reload, err := c.Reload(ctx); err != nil || !reload.Success {
		t.Errorf("the reload is %+v, %v", reload, err)
	}
	if info, err := c.Info(ctx); err != nil || info.PID != 19722 {
		t.Errorf("info is %+v, %v", info, err)
	}
	if stats, err := c.Stats(ctx); err != nil || len(stats) != 4 {
		t.Errorf("statistics are %+v, %v", stats, err)
	}
	if servers, err := c.Servers(ctx); err != nil || len(servers) != 2 {
		t.Errorf("servers are %+v, %v", servers, err)
	}
	if len(asked) != 5 {
		t.Errorf("five questions became %q", asked)
	}
}

func TestClientSet(t *testing.T) {
	c := master(t, func(command string) string {
		if command == "@1 set server web/web1 weight 20" {
			return "\n"
		}
		return recorded(t, "set-unknown")
	})
	if err := c.Set(t.Context(), "set server web/web1 weight 20"); err != nil {
		t.Errorf("a command that HAProxy carried out failed: %v", err)
	}
	err := c.Set(t.Context(), "set server web/nope weight 20")
	refused, ok := errors.AsType[*Refused](err)
	if !ok || refused.Answer != "No such server." || refused.Command != "set server web/nope weight 20" {
		t.Errorf("a command that HAProxy refused gave %#v", err)
	}
	if err := c.Set(t.Context(), "set server web/web1 weight 20; shutdown"); err == nil {
		t.Error("two commands in one were sent")
	}
}

func TestClientTellsAnAbsentMaster(t *testing.T) {
	c := Client{Socket: filepath.Join(t.TempDir(), "none.sock")}
	_, err := c.Processes(t.Context())
	if unreachable, ok := errors.AsType[*Unreachable](err); !ok || unreachable.Socket != c.Socket {
		t.Errorf("an absent master gave %#v", err)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := master(t, func(string) string {
		cancel() // while the answer is awaited
		return ""
	})
	if _, err := c.Info(ctx); err == nil {
		t.Error("an empty answer was taken for one")
	}
	if _, err := c.Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context's end the client says %v", err)
	}
}
