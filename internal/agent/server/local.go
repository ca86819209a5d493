package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// credentials is the context key of the user id of a local connection's peer.
type credentials struct{}

// nobody is the user id of a peer that could not be made out; it is no user's.
const nobody = ^uint32(0)

// ListenLocal listens on the socket at path, for root only, in place of what a
// killed agent left there.
func ListenLocal(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("listen on the local socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on the local socket: %w", err)
	}
	listener, err := net.Listen("unix", path) //nolint:noctx // returns at once
	if err != nil {
		return nil, fmt.Errorf("listen on the local socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on the local socket: %w", err), listener.Close())
	}
	return listener, nil
}

// ServeIdle answers every call on the local socket with why the agent serves
// nothing. It returns when ctx ends, and closes the listener.
func ServeIdle(ctx context.Context, local net.Listener, why error) error {
	idle := &http.Server{ReadHeaderTimeout: headerTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		send(w, problemAnswer(&api.Problem{Type: api.ProblemInternal, Title: "The agent serves nothing", Detail: why.Error()}))
	})}
	defer context.AfterFunc(ctx, func() { _ = idle.Close() })()
	if err := idle.Serve(local); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer why the agent serves nothing: %w", err)
	}
	return nil
}

// withCredentials notes who is at the other end of a local connection: the
// file's mode is not trusted alone.
func withCredentials(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, credentials{}, peerID(conn))
}

func peerID(conn net.Conn) uint32 {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nobody
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return nobody
	}
	id := nobody
	err = raw.Control(func(fd uintptr) {
		if peer, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			id = peer.Uid
		}
	})
	if err != nil {
		return nobody
	}
	return id
}

// localCaller lets in who runs the agent: root on a machine, and in a test
// who runs the test.
func (s *Server) localCaller(r *http.Request) (Caller, error) {
	id, ok := r.Context().Value(credentials{}).(uint32)
	if !ok || int64(id) != int64(os.Geteuid()) {
		return Caller{}, forbidden("the local socket is for root alone")
	}
	return Caller{Actor: LocalActor(int(id)), Role: roleLocal}, nil
}

// LocalActor names who acts on the machine itself.
func LocalActor(uid int) string {
	if uid == 0 {
		return "root on the machine"
	}
	return fmt.Sprintf("uid %d on the machine", uid)
}
