package server

import (
	"net/http"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Caller is who calls.
type Caller struct {
	// Actor is a name for people: that of the client's certificate.
	Actor string
	// Role is what the certificate allows, empty if nothing.
	Role api.Role
	// Machine is which machine calls, empty if none does.
	Machine api.DBCaller
}

// remoteCaller reads the caller from the client's certificate.
func (s *Server) remoteCaller(r *http.Request) (Caller, error) {
	if r.TLS == nil {
		return Caller{}, forbidden("the connection has no TLS")
	}
	peer, err := s.Identity.Peer(*r.TLS)
	if err != nil && len(r.TLS.PeerCertificates) > 0 {
		// Nothing is allowed to that name, but the audit log tells of it.
		return Caller{Actor: r.TLS.PeerCertificates[0].Subject.CommonName}, err
	}
	caller := Caller{Actor: peer.Actor, Role: peer.Role}
	if peer.Node != "" {
		caller.Machine = api.DBCaller{Node: peer.Node, Key: peer.Key}
	}
	if err == nil {
		err = s.admit(r.Context(), peer.Role)
	}
	return caller, err
}
