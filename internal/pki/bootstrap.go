package pki

import (
	"encoding/base64"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// NewBootstrap returns what one incarnation of a machine is given. With the
// same arguments it is the same, so that it can be made again.
func NewBootstrap(a *Authority, node string, incarnation int64, listen string) (api.Bootstrap, error) {
	b := api.Bootstrap{
		V:           api.BootstrapVersion,
		Deployment:  a.deployment,
		Node:        node,
		Incarnation: incarnation,
		CA:          Bundle{a.certificate}.PEM(),
		EnrollKey:   api.Secret(base64.StdEncoding.EncodeToString(a.EnrollKey(node, incarnation))),
		Listen:      listen,
	}
	if err := b.Check(); err != nil {
		return api.Bootstrap{}, fmt.Errorf("the bootstrap of machine %q: %w", node, err)
	}
	return b, nil
}
