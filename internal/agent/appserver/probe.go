package appserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// Endpoint is where an HTTP server listens on this machine.
type Endpoint struct {
	// Network is "unix" or "tcp", Address the socket's path or "IP:port".
	Network, Address string
}

// Answer is what an HTTP server said.
type Answer struct {
	Status int
	// Body is its beginning, at most 256 bytes.
	Body string
}

const (
	maxProbeBody = 256
	// maxProbeHeader bounds the header of an answer, in bytes. nginx takes 16 kB.
	maxProbeHeader = 64 << 10
)

// httpProber asks over a new connection each time, as nginx does.
type httpProber struct{}

// Get implements [Prober].
func (httpProber) Get(ctx context.Context, endpoint Endpoint, path string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return Answer{}, fmt.Errorf("ask for %s: %w", path, err)
	}
	request.Header.Set("User-Agent", "foobar-agent")
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxProbeHeader,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if endpoint.Network == "unix" { // in a directory of the app's or nginx's account
				return foreign.Dial(ctx, endpoint.Address)
			}
			var d net.Dialer
			return d.DialContext(ctx, endpoint.Network, endpoint.Address)
		},
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // nothing is lost with it
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProbeBody))
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: response.StatusCode, Body: strings.ToValidUTF8(string(body), "")}, nil
}

// appEndpoint is where the app itself listens.
func appEndpoint(l layout, s api.AppServer, slot string) Endpoint {
	if port := port(s, slot); port != 0 {
		return Endpoint{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	return Endpoint{Network: "unix", Address: l.socket(s, slot)}
}

// siteEndpoint is where this machine reaches nginx as the load balancers do.
func siteEndpoint(s api.AppServer) Endpoint {
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if given, err := netip.ParseAddr(s.Address); err == nil {
		address = given
		if given == netip.IPv6Unspecified() {
			address = netip.IPv6Loopback()
		} else if given.IsUnspecified() {
			address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
	}
	return Endpoint{Network: "tcp", Address: netip.AddrPortFrom(address, uint16(s.Port)).String()} //nolint:gosec // a valid port fits
}

const (
	// noAnswer begins what is said of an app that gave no answer at all.
	noAnswer = "did not answer"
	// noSocket and noListener begin what is said where nothing listens at all.
	noSocket   = noAnswer + ": there is no socket at "
	noListener = noAnswer + ": nothing listens on "
	// maxSaid bounds what is quoted then, in bytes.
	maxSaid = 300
)

// check asks an endpoint for the app's health and says what it got. An error may
// quote what the app sent, which show makes fit to be seen.
func (k *Kind) check(ctx context.Context, h api.AppHealthCheck, endpoint Endpoint, show shower) (said string, healthy bool) {
	ctx, cancel := context.WithTimeout(ctx, timeout(h))
	defer cancel()
	answer, err := k.prober.Get(ctx, endpoint, h.Path)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Sprintf(noAnswer+" within %s", h.Timeout), false
	case endpoint.Network == "unix" && errors.Is(err, fs.ErrNotExist):
		return noSocket + endpoint.Address, false
	case endpoint.Network == "tcp" && errors.Is(err, syscall.ECONNREFUSED):
		return noListener + endpoint.Address, false
	case err != nil:
		return noAnswer + ": " + api.Short(show(err.Error()), maxSaid), false
	case answer.Status != http.StatusOK:
		return fmt.Sprintf("answered %d instead of 200", answer.Status), false
	}
	return "answered 200", true
}
