// Ledger keeps each line that is sent to it. It is one static program, and
// listens where foobar says: on the Unix socket in $SOCKET, or on the port in
// $PORT if the app server has app_ports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// version is the release; the linker sets it.
var version = "1"

// patience is how long requests in progress may take after SIGTERM; the app
// server's stop_timeout is 25 s.
const patience = 20 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// run serves until the context ends, and finishes the requests in progress.
func run(ctx context.Context) error {
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           ledger(filepath.Join(os.Getenv("STATE_DIRECTORY"), "ledger")).handler(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return server.Shutdown(ctx)
}

// listen opens the Unix socket in $SOCKET or, without one, the port in $PORT.
func listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	if socket := os.Getenv("SOCKET"); socket != "" {
		return config.Listen(ctx, "unix", socket)
	}
	return config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", os.Getenv("PORT")))
}

// ledger is the path of the file with the lines.
type ledger string

func (l ledger) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "release %s\n", version) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /ledger", l.show)
	mux.HandleFunc("POST /ledger", l.add)
	return mux
}

func (l ledger) show(w http.ResponseWriter, _ *http.Request) {
	lines, err := os.ReadFile(string(l))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(lines) // the client may have gone
}

func (l ledger) add(w http.ResponseWriter, r *http.Request) {
	line, err := io.ReadAll(r.Body)
	if err != nil || strings.Contains(string(line), "\n") {
		http.Error(w, "send one line", http.StatusBadRequest)
		return
	}
	if err := l.keep(string(line)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "kept by release %s\n", version)
}

// keep appends a line. During a release the old and the new process do so at
// the same time, which one write to a file that is opened to append allows.
func (l ledger) keep(line string) (err error) {
	file, err := os.OpenFile(string(l), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.WriteString(line + "\n")
	return err
}
