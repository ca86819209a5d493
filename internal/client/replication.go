package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// orderSlack is what the way may take on top of [api.MaxOrderWait].
const orderSlack = 10 * time.Second

// Enlist tells the machine which machines it takes part in a replication with.
func (m *Machine) Enlist(ctx context.Context, replication string, membership api.DBMembership) error {
	_, err := m.do(ctx, call{
		method: http.MethodPut, path: replicationPath(replication, "membership"), body: api.Encode(membership),
	}, nil)
	return err
}

// Leave ends the machine's membership in a replication, if it has one.
func (m *Machine) Leave(ctx context.Context, replication string) error {
	_, err := m.do(ctx, call{method: http.MethodDelete, path: replicationPath(replication, "membership")}, nil)
	return err
}

// ReplicationCall calls one of the routes by which the machines of a replication
// talk to one another: part is "view", "record", "component", "orders", "lock", or "" for the
// replication itself. What is sent and answered belongs to those who talk: in
// becomes the body, unless it is nil, and the answer is read into out, unless
// that is nil; only "view", "record" and "component" are answered with a body. The status is
// 200, or 202 for an order that has still to end and is to be given again; an
// answer that is no success is an [api.Problem].
func (m *Machine) ReplicationCall(ctx context.Context, method, replication, part string, in, out any) (status int, err error) {
	transport, err := m.connections()
	if err != nil {
		return 0, err
	}
	c := call{method: method, path: replicationPath(replication, part)}
	if in != nil {
		c.body = api.Encode(in)
	}
	if method == http.MethodPost {
		c.timeout = api.MaxOrderWait + orderSlack
	}
	answer, err := m.doOver(ctx, transport, c, out)
	return answer.status, err
}

// ReplicationCopy asks the machine for a copy of its data. The copy may take as
// long as it does, but not bring nothing for longer than the options'
// StallTimeout. A Read returns [io.EOF] only if the copy is whole: one that
// broke off ends with another error. The caller closes it.
func (m *Machine) ReplicationCopy(ctx context.Context, replication string) (io.ReadCloser, error) {
	transport, err := m.connections()
	if err != nil {
		return nil, err
	}
	c := call{method: http.MethodGet, path: replicationPath(replication, "copy")}
	streaming, cancel := context.WithCancelCause(ctx)
	patience := m.options.StallTimeout
	stalled := time.AfterFunc(patience, func() { cancel(fmt.Errorf("no byte within %s", patience)) })
	traced, sent := traced(streaming)
	response, err := m.send(traced, transport, c) //nolint:bodyclose // the reader that is returned closes it
	stalled.Stop()
	if err != nil {
		if streaming.Err() != nil {
			err = context.Cause(streaming)
		}
		err = m.callError(ctx, c, patience, sent.Load(), err)
		cancel(nil)
		return nil, err
	}
	copied := &copyReader{body: response.Body, cancel: cancel, stalled: stalled, patience: patience, ctx: streaming, machine: m.target.Name}
	if response.StatusCode != http.StatusOK {
		defer copied.Close() //nolint:errcheck // it was only read
		body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return nil, m.callError(ctx, c, patience, true, err)
		}
		return nil, problemOf(response, body)
	}
	return copied, nil
}

// copyReader reads a copy out of its frames.
type copyReader struct {
	body     io.ReadCloser
	ctx      context.Context // its cause says why reading was broken off
	cancel   context.CancelCauseFunc
	stalled  *time.Timer
	patience time.Duration
	machine  string

	left int64 // of the frame there
	err  error // that of all reads to come
}

// Read implements [io.Reader].
func (r *copyReader) Read(p []byte) (int, error) {
	for r.err == nil && r.left == 0 {
		r.left, r.err = r.frame()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.next(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.err = r.explain(err)
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

// frame reads the head of a frame, and returns how many bytes follow it.
func (r *copyReader) frame() (int64, error) {
	var head [api.CopyHeaderSize]byte
	for have := 0; have < len(head); {
		n, err := r.next(head[have:])
		have += n
		if err != nil && have < len(head) {
			return 0, r.explain(err)
		}
	}
	switch length := binary.BigEndian.Uint32(head[:]); {
	case length == api.CopyEnd:
		return 0, io.EOF
	case length > api.MaxCopyFrame:
		return 0, fmt.Errorf("the copy of machine %s broke off: it has a frame of %d bytes; at most %d are allowed", r.machine, length, api.MaxCopyFrame)
	default:
		return int64(length), nil
	}
}

// next reads what arrives next. Only the wait for it counts as a stall, not
// what the caller does in between.
func (r *copyReader) next(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.stalled.Reset(r.patience)
	n, err := r.body.Read(p)
	r.stalled.Stop()
	return n, err
}

// explain says what an error of the way means: only the last frame ends a copy.
func (r *copyReader) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case r.ctx.Err() != nil: // before what the broken connection then says
		err = context.Cause(r.ctx)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the copy of machine %s broke off: %w", r.machine, err)
}

// Close breaks off what has not been read.
func (r *copyReader) Close() error {
	r.cancel(nil)
	r.stalled.Stop()
	return r.body.Close()
}

func replicationPath(name, part string) string {
	path := "/v1/replications/" + url.PathEscape(name)
	if part != "" {
		path += "/" + part
	}
	return path
}
