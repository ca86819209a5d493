package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	handler := ledger(filepath.Join(t.TempDir(), "ledger")).handler()
	for _, c := range []struct {
		method, path, line string
		status             int
		answer             string
	}{
		{"GET", "/", "", 200, "release 1\n"},
		{"GET", "/healthz", "", 200, "ok\n"},
		{"GET", "/ledger", "", 200, ""},
		{"POST", "/ledger", "a line", 201, "kept by release 1\n"},
		{"POST", "/ledger", "two\nlines", 400, "send one line\n"},
		{"GET", "/ledger", "", 200, "a line\n"},
		{"GET", "/other", "", 404, "404 page not found\n"},
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(c.method, c.path, strings.NewReader(c.line)))
		if answer.Code != c.status || answer.Body.String() != c.answer {
			t.Errorf("%s %s %q is answered with %d %q, not %d %q", c.method, c.path, c.line, answer.Code, answer.Body, c.status, c.answer)
		}
	}
}

func TestEachLineIsKeptOnce(t *testing.T) {
	l := ledger(filepath.Join(t.TempDir(), "ledger"))
	var lines []string
	var writers sync.WaitGroup
	for n := range 200 {
		line := fmt.Sprint("line ", n)
		lines = append(lines, line)
		writers.Go(func() {
			if err := l.keep(line); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	text, err := os.ReadFile(string(l))
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(kept)
	slices.Sort(lines)
	if !slices.Equal(kept, lines) {
		t.Errorf("kept are %q", kept)
	}
}

// TestRequestInProgressIsFinishedAtTheEnd of the program, on the socket and on a port.
func TestRequestInProgressIsFinishedAtTheEnd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "app.sock")
	for _, c := range []struct{ variable, value, network, address string }{
		{"SOCKET", socket, "unix", socket},
		{"PORT", freePort(t), "tcp", ""},
	} {
		t.Run(c.variable, func(t *testing.T) {
			t.Setenv("SOCKET", "")
			t.Setenv(c.variable, c.value)
			t.Setenv("STATE_DIRECTORY", t.TempDir())
			if c.address == "" {
				c.address = net.JoinHostPort("127.0.0.1", c.value)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- run(ctx) }()

			slow := dial(t, c.network, c.address)
			send(t, slow, "POST /ledger HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
			answers := bufio.NewReader(slow)
			if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
				t.Fatalf("the app does not read the request: %q, %v", line, err)
			}
			stop()
			until(t, "it still listens", func() bool {
				other, err := net.Dial(c.network, c.address)
				return err != nil || other.Close() != nil
			})
			send(t, slow, "last")
			if _, err := answers.ReadString('\n'); err != nil { // the end of the 100
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			if err = errors.Join(err, answer.Body.Close()); err != nil || string(text) != "kept by release 1\n" {
				t.Errorf("the answer is %q, %v", text, err)
			}
			if err := <-ended; err != nil {
				t.Errorf("the program ended with %v", err)
			}
		})
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err = errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	return port
}

func dial(t *testing.T, network, address string) (connection net.Conn) {
	t.Helper()
	until(t, "it does not listen", func() bool {
		var err error
		connection, err = net.Dial(network, address)
		return err == nil
	})
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func send(t *testing.T, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, otherwise string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}
