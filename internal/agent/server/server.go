// Package server is the agent's API: HTTP with mutual TLS for Terraform and
// other agents, and the same routes on a root-only socket for who sits at the
// machine. It decides who may call what, and writes down who did; the work is
// done by those behind the interfaces that it declares.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/identity"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Identity is who the machine is; see [identity.Identity], which has all of it.
type Identity interface {
	TLSConfig() *tls.Config
	// Peer tells who is at the other end of a connection that TLS let in; the
	// error is a problem that says why nobody is.
	Peer(c tls.ConnectionState) (identity.Peer, error)
	Facts() identity.Facts
	Conditions() []api.Condition
	Offer(c tls.ConnectionState, hello api.EnrollHello) (api.EnrollOffer, error)
	Finish(c tls.ConnectionState, grant api.EnrollGrant) (api.Enrolled, error)
	Renew(c tls.ConnectionState, renewal api.Certification) (api.Enrolled, error)
	Leaf(name string) (api.ServiceLeaf, error)
	RequestLeaf(name string) (api.ServiceLeaf, error)
	StoreLeaf(name string, signed api.ServiceLeaf) (api.ServiceLeaf, error)
}

// Runner carries out operations. What it starts goes on when the caller is
// gone.
type Runner interface {
	Get(ctx context.Context, id api.ID) (api.Component, error)
	List(ctx context.Context) (api.Listing, error)
	PlanFor(ctx context.Context, who operation.Asker, id api.ID, base int64, w api.Write) (api.Plan, error)
	Apply(ctx context.Context, r operation.Request) (api.Operation, error)
	Delete(ctx context.Context, r operation.Request) (api.Operation, error)
	Leftovers(ctx context.Context, id api.ID) (api.Leftovers, error)
	AllLeftovers(ctx context.Context) (api.AllLeftovers, error)
	Purge(ctx context.Context, id api.ID, consent string) (api.Leftovers, error)
	Restart(ctx context.Context, id api.ID, actor string) (api.Operation, error)
	Rollback(ctx context.Context, id api.ID, to int64, actor string) (api.Operation, error)
	Drain(ctx context.Context, id api.ID, drained bool, by string) (api.Drained, error)
	Own(ctx context.Context, id api.ID, claiming api.Claiming, actor string) (api.Ownership, error)
	Operation(ctx context.Context, id string) (api.Operation, error)
	Events(ctx context.Context, id string, after int64, wait time.Duration) ([]api.Event, error)
}

// Journal reads the last lines of a unit.
type Journal interface {
	Lines(ctx context.Context, unit string, lines int) ([]api.LogLine, error)
}

// Audit keeps a record of calls.
type Audit interface {
	Append(e api.AuditEntry) error
	After(seq int64) ([]api.AuditEntry, error)
}

// Config is what a server needs, all of it.
type Config struct {
	Identity Identity
	Runner   Runner
	Blobs    Blobs
	Journal  Journal
	// Audit has the calls that change something, Refused those that were denied.
	Audit, Refused Audit
	// Replications are the machine's parts of replications.
	Replications Replications
	// Facts are what GET /v1/info adds to what the identity knows.
	Facts Facts
	// LeafStored is called when a service's leaf has another certificate.
	LeafStored func(ctx context.Context, leaf string)
	// Conditions tells what is wrong with the machine beside its identity.
	Conditions func(ctx context.Context) []api.Condition
	Log        hclog.Logger
	Now        func() time.Time
}

// Facts are what does not change while the agent runs.
type Facts struct {
	Version string
	ImageID string
	// ImageDamage is why the image's name cannot be read, nil if it can.
	ImageDamage error
	BootID      string
	BootedAt    time.Time
}

// The limits of a connection; see also transfer.
const (
	headerTimeout = 10 * time.Second // also bounds the TLS handshake
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
)

// Server answers the API.
type Server struct {
	Config
	routes []route
	remote *http.Server
	local  *http.Server
	// limits limit the remote connections, connLog logs what those cause that are
	// not authenticated.
	limits  *connLimits
	connLog *connLog
	// refusals bounds what is written of denied calls.
	refusals *throttle[refuser]
	// dryRuns and reads are those of readers.
	dryRuns, reads *queue
	// stopping ends when the server is shut down; calls that wait for
	// events are then answered at once.
	stopping context.Context
	stop     context.CancelFunc
}

// New returns a server that does not listen yet.
func New(c Config) *Server {
	s := &Server{Config: c, routes: routes(), dryRuns: dryRuns(), reads: reads()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.connLog = newConnLog(c.Log, c.Now)
	s.refusals = newThrottle(refusalWindow, refusalLines, c.Now, s.countRefusals)
	s.limits = newConnLimits(s.connLog.closed)
	s.remote = s.httpServer(s.remoteCaller)
	s.remote.ConnContext, s.remote.ConnState = withConn, s.limits.follow
	s.local = s.httpServer(s.localCaller)
	s.local.ConnContext = withCredentials
	return s
}

func (s *Server) httpServer(who func(*http.Request) (Caller, error)) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // an enrolment's two calls and the exporter belong to one connection
	return &http.Server{
		Handler:           s.handler(who),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(s.connLog, "", 0),
	}
}

// Serve answers on a TCP listener with mutual TLS, and on the local socket's,
// until [Server.Shutdown] or until one of the two fails. It closes both.
func (s *Server) Serve(remote, local net.Listener) error {
	ended := make(chan error, 2)
	go func() {
		ended <- s.remote.Serve(s.limits.listen(remote, s.Identity.TLSConfig()))
	}()
	go func() { ended <- s.local.Serve(local) }()
	first := <-ended
	_, _ = s.remote.Close(), s.local.Close() // ends the other one; after Shutdown both have ended
	second := <-ended
	for _, err := range []error{first, second} {
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
	}
	return nil
}

// ServeLost answers for a machine that has lost its identity: every handshake
// ends in a refusal, after the machine has shown which one it claims to be. It
// returns when ctx ends, and closes the listener.
func ServeLost(ctx context.Context, remote net.Listener, config *tls.Config, logger hclog.Logger) error {
	connLog := newConnLog(logger, time.Now)
	defer connLog.flush()
	limits := newConnLimits(connLog.closed)
	refusing := &http.Server{
		Handler:           http.NotFoundHandler(), // no request gets past the handshake
		ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: log.New(connLog, "", 0),
	}
	defer context.AfterFunc(ctx, func() { _ = refusing.Close() })()
	if err := refusing.Serve(limits.listen(remote, config)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer without an identity: %w", err)
	}
	return nil
}

// Shutdown stops listening, lets the calls that run come to their end until
// ctx does, and then cuts them off. Operations are none of its business.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	defer s.connLog.flush()
	defer s.refusals.flush()
	if err := errors.Join(s.remote.Shutdown(ctx), s.local.Shutdown(ctx)); err != nil {
		return fmt.Errorf("shut the server down: %w", errors.Join(err, s.remote.Close(), s.local.Close()))
	}
	return nil
}
