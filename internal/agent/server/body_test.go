package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// deadlines is a connection that notes the deadlines it is given.
type deadlines struct {
	http.ResponseWriter
	read []bool // whether each was one
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, !t.IsZero())
	return nil
}

func TestDeadlineOfABodyIsLiftedWhenItWasRead(t *testing.T) {
	for _, body := range []string{"text", strings.Repeat("too long", 100)} {
		d := &deadlines{ResponseWriter: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), "PUT", "/", strings.NewReader(body))
		_, _ = io.ReadAll(boundedBody(d, r, 10))
		if len(d.read) != 2 || !d.read[0] || d.read[1] {
			t.Errorf("%.10s: deadlines %v, want one that is lifted", body, d.read)
		}
	}
}

func TestNoBodyHasNoDeadline(t *testing.T) {
	d := &deadlines{ResponseWriter: httptest.NewRecorder()}
	_, _ = io.ReadAll(boundedBody(d, httptest.NewRequestWithContext(t.Context(), "PUT", "/", nil), 10))
	if len(d.read) != 0 {
		t.Errorf("deadlines %v, want none", d.read)
	}
}
