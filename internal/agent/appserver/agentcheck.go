package appserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// maxAsking bounds how many load balancers are answered at the same time. HAProxy
	// has one connection a server and a process of its own.
	maxAsking = 64
	// askTime bounds one of them, maxHeard what is read of it, in bytes.
	askTime = time.Second
	maxRead = 64 << 10
)

// agentPort is the port where load balancers ask for the app's state.
type agentPort struct {
	// address is where it listens, "" for nowhere; retry is when it is tried again.
	address  string
	listener net.Listener
	retry    time.Time
	// trusted are those who are answered.
	trusted atomic.Pointer[[]netip.Prefix]
	serving sync.WaitGroup

	// mu guards failure: why it does not listen.
	mu      sync.Mutex
	failure error
}

// listenAddress is where an app server's agent check is, "" for nowhere.
func listenAddress(s api.AppServer) string {
	if s.AgentCheckPort == 0 {
		return ""
	}
	address := s.Address
	if address == "*" {
		address = ""
	}
	return net.JoinHostPort(address, strconv.Itoa(s.AgentCheckPort))
}

// follow has the port listen where the watcher's spec says. An address that is not
// there yet, as at a boot, is tried again.
func (p *agentPort) follow(w *watcher, now time.Time) {
	want := listenAddress(w.spec)
	if want != p.address {
		p.close()
		p.address = want
	} else if want == "" || p.listener != nil || now.Before(p.retry) {
		return
	}
	if want == "" {
		return
	}
	p.retry = now.Add(retryInterval)
	listener, err := net.Listen("tcp", want) //nolint:noctx // returns at once
	p.mu.Lock()
	before := p.failure
	p.failure = err
	p.mu.Unlock()
	if err != nil {
		if before == nil {
			w.log.Warn("load balancers cannot ask for the app's state", "address", want, "error", err)
		}
		return
	}
	p.listener = listener
	p.serving.Go(func() { p.serve(listener, w.say) })
}

// close ends what listens, and returns when nobody is being answered any more.
func (p *agentPort) close() {
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.serving.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failure = nil
}

func (p *agentPort) serve(listener net.Listener, say func() api.AgentCheck) {
	places := make(chan struct{}, maxAsking)
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many files, for instance
			time.Sleep(vitalInterval)
			continue
		}
		if !p.trusts(conn.RemoteAddr()) {
			_ = conn.Close()
			continue
		}
		select {
		case places <- struct{}{}:
			p.serving.Go(func() {
				defer func() { <-places }()
				answer(conn, say())
			})
		default:
			_ = conn.Close()
		}
	}
}

func (p *agentPort) trusts(remote net.Addr) bool {
	from, err := netip.ParseAddrPort(remote.String())
	return err == nil && slices.ContainsFunc(*p.trusted.Load(), func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap().WithZone("")) })
}

// answer says a state, and nothing where none is known. What the other side has sent
// is read: closing on it would take the answer along.
func answer(conn net.Conn, state api.AgentCheck) {
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	if state == "" || conn.SetDeadline(time.Now().Add(askTime)) != nil {
		return
	}
	if _, err := conn.Write([]byte(state.Line())); err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxRead))
	}
}

// say returns the answer to load balancers. "drain" is answered only for an app that works.
func (w *watcher) say() api.AgentCheck {
	w.mu.Lock()
	state := w.state
	w.mu.Unlock()
	if state == api.AgentCheckUp && w.kind.machine.exists(w.layout.drainFile()) {
		return api.AgentCheckDrain
	}
	return state
}

// conditions tells why load balancers cannot ask.
func (p *agentPort) conditions(s api.AppServer) []api.Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		return nil
	}
	return []api.Condition{{
		Type: "AgentCheckUnavailable", Severity: api.SeverityWarning, Pointer: "/agent_check_port",
		Message: fmt.Sprintf("Load balancers cannot ask for the app's state on port %d: %v. They go by their health checks alone.", s.AgentCheckPort, p.failure),
	}}
}

func prefixes(networks []string) []netip.Prefix {
	var all []netip.Prefix
	for _, network := range networks {
		if prefix, err := netip.ParsePrefix(network); err == nil { // a valid spec's is one
			all = append(all, prefix)
		}
	}
	return all
}
