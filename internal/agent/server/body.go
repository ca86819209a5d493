package server

import (
	"io"
	"net/http"
	"time"
)

// transfer bounds how long a body may take to arrive, and an answer to be
// taken: a chunk of 4 MiB in a minute is 70 kB/s.
const transfer = time.Minute

// boundedBody returns the body of a request, bounded in length and in time.
func boundedBody(w http.ResponseWriter, r *http.Request, length int64) io.ReadCloser {
	limited := http.MaxBytesReader(w, r.Body, length)
	if r.ContentLength == 0 {
		return limited
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(transfer)) // a writer of tests has none
	return &timedBody{limited, control.SetReadDeadline}
}

// timedBody lifts the deadline of its connection when it has been read. Left
// in place it would end the request's context, and with it a dry run or a
// checksum that takes longer than the body took.
type timedBody struct {
	io.ReadCloser
	setDeadline func(time.Time) error
}

// Read reads from the body.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.setDeadline(time.Time{})
	}
	return n, err // as it is: a reader ends with io.EOF itself
}
