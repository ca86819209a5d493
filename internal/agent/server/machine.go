package server

import (
	"context"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// apiVersions is what the agent speaks.
func apiVersions() []string { return []string{"v1"} }

func (s *Server) health(c *call) (answer, error) { return ok(s.presentHealth(c.Context())), nil }

func (s *Server) presentHealth(ctx context.Context) api.Health {
	facts := s.Identity.Facts()
	return api.Health{
		Node: facts.Node, Incarnation: facts.Incarnation, Enrolled: facts.Enrolled,
		Conditions: append(s.Identity.Conditions(), s.Conditions(ctx)...),
	}
}

func (s *Server) info(c *call) (answer, error) {
	facts := s.Identity.Facts()
	return ok(api.Info{
		Health:     s.presentHealth(c.Context()),
		Deployment: facts.Deployment,
		Version:    s.Facts.Version, APIVersions: apiVersions(), Features: []string{},
		ImageID: s.Facts.ImageID, BootID: s.Facts.BootID, BootedAt: s.Facts.BootedAt,
		Time: s.Now().UTC(),
		Key:  facts.Key, CertificateExpires: facts.Expires, TrustedCAs: facts.CAs,
	}), nil
}

func (s *Server) enroll(c *call) (answer, error) {
	var hello api.EnrollHello
	if err := c.decode(&hello); err != nil {
		return answer{}, err
	}
	offer, err := s.Identity.Offer(*c.TLS, hello)
	return ok(offer), err
}

func (s *Server) enrollFinish(c *call) (answer, error) {
	var grant api.EnrollGrant
	if err := c.decode(&grant); err != nil {
		return answer{}, err
	}
	c.detail = s.aboutCAs(grant.CA)
	enrolled, err := s.Identity.Finish(*c.TLS, grant)
	return ok(enrolled), err
}

func (s *Server) renew(c *call) (answer, error) {
	var renewal api.Certification
	if err := c.decode(&renewal); err != nil {
		return answer{}, err
	}
	c.detail = s.aboutCAs(renewal.CA)
	enrolled, err := s.Identity.Renew(*c.TLS, renewal)
	return ok(enrolled), err
}

// aboutCAs tells the audit log which CAs a machine was to trust, and which it
// trusted before, by their pins.
func (s *Server) aboutCAs(asked []string) string {
	pins := []string{"none that can be read"}
	if bundle, err := pki.ParseBundle(asked); err == nil {
		pins = bundle.Pins()
	}
	var before []string
	for _, ca := range s.Identity.Facts().CAs {
		before = append(before, ca.Pin)
	}
	return "to trust " + strings.Join(pins, ", ") + "; trusted before " + strings.Join(before, ", ")
}

func (s *Server) leaf(c *call) (answer, error) {
	leaf, err := s.Identity.Leaf(c.params["name"])
	return ok(leaf), err
}

func (s *Server) leafRequest(c *call) (answer, error) {
	leaf, err := s.Identity.RequestLeaf(c.params["name"])
	return ok(leaf), err
}

func (s *Server) leafStore(c *call) (answer, error) {
	var signed api.ServiceLeaf
	if err := c.decode(&signed); err != nil {
		return answer{}, err
	}
	leaf, err := s.Identity.StoreLeaf(c.params["name"], signed)
	if err == nil {
		s.LeafStored(c.Context(), c.params["name"])
	}
	return ok(leaf), err
}
