package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Machine is one machine that can be called. Its methods may be called at the
// same time, and share connections.
type Machine struct {
	target  Target
	options Options
	base    string
	pool    *Pool

	mu sync.Mutex
	// transport makes connections that show the certificate shown; another
	// certificate gets another transport, so that no connection outlives it.
	transport *http.Transport
	shown     *tls.Certificate

	patience patience

	leaf     atomic.Pointer[x509.Certificate] // the machine's, once it was met
	renewing sync.Mutex
	// uploading has room for one: two uploads of one blob would trip over one
	// another, and two of different blobs share the same line.
	uploading chan struct{}
}

func newMachine(p *Pool, t Target) *Machine {
	return &Machine{
		target: t, options: p.options, pool: p,
		base:      "https://" + pki.NodeDNSName(p.credentials.deployment, t.Name),
		uploading: make(chan struct{}, 1),
	}
}

// Target returns which machine is meant.
func (m *Machine) Target() Target { return m.target }

// Close closes the connections that nobody uses.
func (m *Machine) Close() { m.closeIdle() }

func (m *Machine) closeIdle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.transport != nil {
		m.transport.CloseIdleConnections()
	}
}

// connections returns the transport for calls that begin now.
func (m *Machine) connections() (*http.Transport, error) {
	certificate, err := m.pool.current()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown == certificate {
		return m.transport, nil
	}
	if m.transport != nil {
		m.transport.CloseIdleConnections()
	}
	m.shown = certificate
	m.transport = &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return m.dialVerified(ctx, certificate)
		},
		MaxIdleConnsPerHost: 16, // Terraform makes ten calls at once, some with a poll beside them
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	return m.transport, nil
}

// call is one request.
type call struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   []byte
	// timeout bounds the call; zero means the options' CallTimeout.
	timeout time.Duration
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 16 << 20

// do makes a call and reads the answer leniently into out, if that is not nil:
// a newer agent may say more. An answer that is no success is an [api.Problem].
// An agent that restarts is asked again, see [Options].
func (m *Machine) do(ctx context.Context, c call, out any) (http.Header, error) {
	sent, pause := false, newBackoff()
	for {
		header, err := m.doOnce(ctx, c, out)
		lost, ok := errors.AsType[*Unreachable](err)
		if !ok {
			if ctx.Err() == nil {
				m.patience.reset()
			}
			return header, err
		}
		if sent = sent || lost.Sent; sent && !lost.Sent {
			err = &Unreachable{Machine: lost.Machine, Address: lost.Address, Sent: true, Err: lost.Err}
		}
		if !repeatable(c, lost) || !m.patience.left(m.options.Now(), m.options.RestartPatience) || pause.wait(ctx) != nil {
			return header, err
		}
	}
}

func (m *Machine) doOnce(ctx context.Context, c call, out any) (http.Header, error) {
	transport, err := m.connections()
	if err != nil {
		return nil, err
	}
	response, err := m.doOver(ctx, transport, c, out)
	return response.header, err
}

// answered is what is known of an answer beside its body.
type answered struct {
	status int
	header http.Header
}

func (m *Machine) doOver(ctx context.Context, transport http.RoundTripper, c call, out any) (answered, error) {
	timeout := c.timeout
	if timeout == 0 {
		timeout = m.options.CallTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	traced, sent := traced(bounded)
	response, err := m.send(traced, transport, c)
	if err != nil {
		return answered{}, m.callError(ctx, c, timeout, sent.Load(), err)
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answered{}, m.callError(ctx, c, timeout, true, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return answered{status: response.StatusCode}, problemOf(response, body)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			return answered{}, fmt.Errorf("read what machine %s answered to %s %s: %w", m.target.Name, c.method, c.path, err)
		}
	}
	return answered{response.StatusCode, response.Header}, nil
}

// traced tells whether any of a call was ever sent: the transport may send it
// again over a new connection, and fail to make one.
func traced(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}), sent
}

func (m *Machine) send(ctx context.Context, transport http.RoundTripper, c call) (*http.Response, error) {
	address := m.base + c.path
	if len(c.query) > 0 {
		address += "?" + c.query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, c.method, address, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.header {
		request.Header[name] = values
	}
	if c.body != nil && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set(api.HeaderMachine, m.target.Name)
	return transport.RoundTrip(request)
}

// callError gives an error of the way its type: that of the connection if it
// has one, the caller's own context, or [Unreachable].
func (m *Machine) callError(ctx context.Context, c call, timeout time.Duration, sent bool, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s on machine %s: %w", c.method, c.path, m.target.Name, context.Cause(ctx))
	}
	known := typed(err)
	if lost, ok := errors.AsType[*Unreachable](known); ok && sent {
		return &Unreachable{Machine: lost.Machine, Address: lost.Address, Sent: true, Err: lost.Err}
	}
	if known != nil {
		return known
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s", timeout)
	}
	return &Unreachable{
		Machine: m.target.Name, Address: m.target.Address, Sent: sent,
		Err: fmt.Errorf("%s %s: %w", c.method, c.path, err),
	}
}

// typed returns the error of this package in err's chain, without what the
// HTTP stack put around it.
func typed(err error) error {
	if e, ok := errors.AsType[*Unreachable](err); ok {
		return e
	}
	if e, ok := errors.AsType[*NotEnrolled](err); ok {
		return e
	}
	if e, ok := errors.AsType[*WrongMachine](err); ok {
		return e
	}
	if e, ok := errors.AsType[*WrongCA](err); ok {
		return e
	}
	if e, ok := errors.AsType[*ClockMismatch](err); ok {
		return e
	}
	return nil
}

// problemOf reads the problem of an answer; an answer without one, such as
// that to a HEAD, becomes one of the same status.
func problemOf(response *http.Response, body []byte) error {
	var problem api.Problem
	if err := json.Unmarshal(body, &problem); err == nil && problem.Type != "" {
		return &problem
	}
	unknown := &api.Problem{Type: api.ProblemInternal, Title: "The agent answered " + response.Status}
	for _, t := range []api.ProblemType{api.ProblemNotFound, api.ProblemForbidden} {
		if response.StatusCode == t.Status() {
			unknown.Type = t
		}
	}
	return unknown
}
