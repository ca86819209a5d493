package client

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// repeatable reports whether a call that was lost may be repeated: the other
// side is there, and its agent is not at the moment. A machine that does not
// answer at all is not asked again, so that a plan around it stays quick.
//
// Whatever goes through [Machine.do] may arrive twice: writes carry the id of their
// operation, and a dry run or another request of a certificate does no harm. A
// chunk of an upload alone may not, as its place is taken then.
func repeatable(c call, lost *Unreachable) bool {
	if errors.Is(lost.Err, syscall.ECONNREFUSED) && !lost.Sent {
		return true // whatever it was, nobody got it
	}
	if lost.Sent && c.method == http.MethodPatch {
		return false
	}
	for _, passing := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(lost.Err, passing) {
			return true
		}
	}
	return false
}

// patience is how long a machine whose agent is away is waited for: once for
// all calls, until one of them is answered.
type patience struct {
	mu   sync.Mutex
	lost time.Time // when the agent was first found away, zero while it is there
}

// left reports whether there is any of the given patience left. The first call
// that finds the agent away begins it.
func (p *patience) left(now time.Time, given time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost.IsZero() {
		p.lost = now
	}
	return now.Sub(p.lost) < given
}

// reset notes that the agent is there.
func (p *patience) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = time.Time{}
}
