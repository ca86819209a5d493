package server

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// unframe reads frames until they end, and tells whether they did.
func unframe(t *testing.T, from io.Reader) (content string, pulses int, whole bool) {
	t.Helper()
	var b strings.Builder
	for {
		var head [api.CopyHeaderSize]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return b.String(), pulses, false
		}
		switch n := binary.BigEndian.Uint32(head[:]); {
		case n == api.CopyEnd:
			return b.String(), pulses, true
		case n == 0:
			pulses++
		case n > api.MaxCopyFrame:
			t.Fatalf("a frame of %d bytes", n)
		default:
			if _, err := io.CopyN(&b, from, int64(n)); err != nil {
				return b.String(), pulses, false
			}
		}
	}
}

func TestCopyIsFramedAndAudited(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", (2*api.MaxCopyFrame+100)/16)
	for name, content := range map[string]string{"nothing": "", "some": "header\ndata", "more than a frame": long} {
		t.Run(name, func(t *testing.T) {
			b := machineBench(t)
			b.parts.copied = func(_ context.Context, to io.Writer) error {
				_, err := io.WriteString(to, content)
				return err
			}
			answer := b.call("GET", notes+"/copy", "")
			got, _, whole := unframe(t, answer.Body)
			if answer.Code != http.StatusOK || !whole || got != content {
				t.Errorf("%d, whole %t, %d bytes, want %d", answer.Code, whole, len(got), len(content))
			}
			if entries := b.entries(); len(entries) != 1 || entries[0].Actor != "web2" || entries[0].Path != notes+"/copy" {
				t.Errorf("audited %+v, want the copy", entries)
			}
		})
	}
}

func TestCopyThatDoesNotBeginIsAProblem(t *testing.T) {
	b := machineBench(t)
	b.parts.copied = func(context.Context, io.Writer) error { return errors.New("the database is down") }
	wantProblem(t, b.call("GET", notes+"/copy", ""), api.ProblemInternal, "the database is down")
	b.parts.copied = func(context.Context, io.Writer) error { panic("hunter2") }
	answer := b.call("GET", notes+"/copy", "")
	wantProblem(t, answer, api.ProblemInternal, "a fault of the agent")
	if strings.Contains(answer.Body.String(), "hunter2") {
		t.Errorf("the answer tells of the panic: %s", answer.Body)
	}
}

// served returns the address of the bench behind a real HTTP server.
func (b *bench) served() string {
	server := httptest.NewUnstartedServer(b.handler(b.who))
	server.Config.ErrorLog = b.Log.StandardLogger(nil)
	server.Start()
	b.t.Cleanup(server.Close)
	return server.URL
}

func (b *bench) fetch(address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address+notes+"/copy", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return http.DefaultClient.Do(request)
}

func TestCopyThatFailsInTheMiddleBreaksTheConnection(t *testing.T) {
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("mariadb-backup: exit status 1") },
		"a panic":  func() error { panic("hunter2") },
	} {
		t.Run(name, func(t *testing.T) {
			b := machineBench(t)
			b.parts.copied = func(_ context.Context, to io.Writer) error {
				if _, err := io.WriteString(to, "half of it"); err != nil {
					return err
				}
				return fail()
			}
			response, err := b.fetch(b.served())
			if err != nil {
				return // it broke off before the head was sent, which is as clear
			}
			defer response.Body.Close() //nolint:errcheck // only read
			body, err := io.ReadAll(response.Body)
			if err == nil {
				t.Errorf("the answer ended as if it were whole: %q", body)
			}
			if _, _, whole := unframe(t, strings.NewReader(string(body))); whole {
				t.Error("the frames say that it is whole")
			}
		})
	}
}

func TestCopyEndsWhenTheServerStopsOrTheReceiverGoes(t *testing.T) {
	for name, end := range map[string]func(b *bench, received *http.Response){
		"the server stops":  func(b *bench, _ *http.Response) { b.stop() },
		"the receiver goes": func(_ *bench, received *http.Response) { _ = received.Body.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			b := machineBench(t)
			ended := make(chan error, 1)
			b.parts.copied = func(ctx context.Context, to io.Writer) error {
				_, err := to.Write(make([]byte, 64<<10)) // more than what buffers hold
				<-ctx.Done()
				ended <- err
				return ctx.Err()
			}
			response, err := b.fetch(b.served())
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // only read
			end(b, response)
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStalledReceiverIsGivenUp(t *testing.T) {
	writer := &stallingWriter{header: http.Header{}}
	f := &framer{to: writer, control: http.NewResponseController(writer), begin: func() {}}
	if _, err := f.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if left := time.Until(writer.deadline); left <= stalled-time.Minute || left > stalled {
		t.Errorf("a write may take %s, want %s", left, stalled)
	}
}

// stallingWriter notes its deadline and takes nothing.
type stallingWriter struct {
	header   http.Header
	deadline time.Time
}

func (w *stallingWriter) Header() http.Header       { return w.header }
func (w *stallingWriter) WriteHeader(int)           {}
func (w *stallingWriter) Write([]byte) (int, error) { return 0, net.ErrClosed }
func (w *stallingWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func TestSilentCopyShowsSignsOfLife(t *testing.T) {
	recorder := httptest.NewRecorder()
	begun := 0
	f := &framer{to: recorder, control: http.NewResponseController(recorder), begin: func() { begun++ }}
	ticks := make(chan time.Time)
	stop := f.keepAlive(ticks)
	ticks <- time.Time{} // before the first byte it is not known yet what the answer is
	ticks <- time.Time{}
	if _, err := io.WriteString(f, "data"); err != nil {
		t.Fatal(err)
	}
	for range 4 { // a tick that was taken has been answered when the next one is taken
		ticks <- time.Time{}
	}
	stop()
	if err := f.end(); err != nil {
		t.Fatal(err)
	}
	content, pulses, whole := unframe(t, recorder.Body)
	if content != "data" || pulses < 4 || !whole || begun != 1 || !recorder.Flushed {
		t.Errorf("%q with %d pulses, whole %t, begun %d times, flushed %t", content, pulses, whole, begun, recorder.Flushed)
	}
}
