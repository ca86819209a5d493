package tfutil

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

// Credentials are what the provider block gives: the seed, a client
// certificate, or neither yet.
type Credentials struct {
	// Deployment names the deployment; empty if it is not known yet.
	Deployment string
	// Seed is the CA's, nil without one.
	Seed *pki.Seed
	// CAEnd is when the CA's certificate ends; zero is its default.
	CAEnd time.Time
	// Unknown names the provider's attributes that are not known yet.
	Unknown []string
}

// MissingCredentials says that something needs what the provider was not given.
type MissingCredentials struct {
	// Reason says what is missing and what to do.
	Reason string
	// Unknown tells that it is only not known yet.
	Unknown bool
}

// Error implements error.
func (e *MissingCredentials) Error() string { return e.Reason }

// Authority returns the deployment's CA. The error is [MissingCredentials] if
// the provider has no seed, or does not know yet when the CA is to end.
func (c Credentials) Authority() (*pki.Authority, error) {
	if c.Seed == nil || c.Deployment == "" {
		return nil, c.Missing("This needs the deployment's CA: give the provider its ca_seed, or set FOOBAR_CA_SEED.")
	}
	return pki.NewAuthority(*c.Seed, c.Deployment, c.CAEnd)
}

// Missing returns the error for credentials that are not there, for the given
// reason, or not known yet.
func (c Credentials) Missing(reason string) error {
	if len(c.Unknown) == 0 {
		return &MissingCredentials{Reason: reason}
	}
	return &MissingCredentials{
		Reason: fmt.Sprintf("The provider's %s is not known yet. Give it a value that is known while planning, or apply first what it comes from (-target).",
			strings.Join(c.Unknown, " and ")),
		Unknown: true,
	}
}

// IsMissing reports whether err says that the provider lacks credentials.
func IsMissing(err error) bool {
	_, ok := errors.AsType[*MissingCredentials](err)
	return ok
}

func isUnknownYet(err error) bool {
	missing, ok := errors.AsType[*MissingCredentials](err)
	return ok && missing.Unknown
}
