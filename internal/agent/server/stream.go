package server

import (
	"encoding/binary"
	"net/http"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// stalled bounds how long a receiver may take none of what is sent to it: a
// receiver whose disk is busy with what it got before is slow, not gone.
const stalled = 2 * time.Minute

// stream answers with what a handler writes, in frames (see [api.CopyEnd]).
// Until it has written anything its failure is a problem like any other; from
// then on it breaks the connection off, so that nobody takes a part for the whole.
func (s *Server) stream(w http.ResponseWriter, c *call, a answer, began time.Time) {
	f := &framer{to: w, control: http.NewResponseController(w), begin: func() {
		s.record(c, a, began, change) // a copy of all data is audited, though nothing changes
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Type", "application/octet-stream")
		w.WriteHeader(a.status)
	}}
	pulse := time.NewTicker(api.CopyPulse)
	defer pulse.Stop()
	stop := f.keepAlive(pulse.C)
	err := s.written(c, a, f)
	stop()
	if err == nil {
		err = f.end()
	}
	switch {
	case err == nil:
	case !f.begun:
		problem := problemAnswer(err)
		s.record(c, problem, began, weigh(route{}, refuses(err)))
		send(w, problem)
	default:
		s.Log.Error("an answer broke off", "method", c.Method, "path", api.Short(c.URL.Path, maxText), "actor", api.Short(c.caller.Actor, maxText), "peer", c.RemoteAddr, "error", err)
		panic(http.ErrAbortHandler) // the way to tell net/http
	}
}

// written has the handler write, and makes a panic of it an error that tells nothing.
func (s *Server) written(c *call, a answer, f *framer) (err error) {
	defer s.survive(c, &err)
	return a.stream(f)
}

// framer writes frames. A pulse may come between two writes.
type framer struct {
	to      http.ResponseWriter
	control *http.ResponseController
	// begin is called before the first byte.
	begin func()

	mu    sync.Mutex
	begun bool
}

// Write sends p in frames.
func (f *framer) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := 0
	for sent < len(p) {
		part := p[sent:min(len(p), sent+api.MaxCopyFrame)]
		if err := f.frame(uint32(len(part)), part); err != nil { //nolint:gosec // at most MaxCopyFrame
			return sent, err
		}
		sent += len(part)
	}
	return sent, nil
}

// end says that the stream is whole.
func (f *framer) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frame(api.CopyEnd, nil)
}

// keepAlive sends a sign of life at each tick, and with it what lies in buffers,
// until stop, which waits for its end.
func (f *framer) keepAlive(tick <-chan time.Time) (stop func()) {
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-tick:
				f.pulse()
			}
		}
	})
	return func() {
		close(over)
		done.Wait()
	}
}

func (f *framer) pulse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.begun {
		return // it may still become a problem
	}
	_ = f.frame(0, nil) // the next write meets the same error
	_ = f.control.Flush()
}

// frame writes one frame; the caller holds the lock.
func (f *framer) frame(length uint32, p []byte) error {
	if !f.begun {
		f.begun = true
		f.begin()
	}
	_ = f.control.SetWriteDeadline(time.Now().Add(stalled)) // a writer of tests has none
	head := binary.BigEndian.AppendUint32(nil, length)
	if _, err := f.to.Write(head); err != nil {
		return err
	}
	_, err := f.to.Write(p)
	return err
}
