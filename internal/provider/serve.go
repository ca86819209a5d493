package provider

import (
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// NewServer returns the server of a new provider of a version: each run of
// Terraform needs one of its own.
func NewServer(version string) (tfprotov6.ProviderServer, error) {
	return tfutil.NewServer(New(version)())
}

// Serve serves providers of a version to Terraform, under their address in the
// registry, until Terraform ends. With debug it waits for Terraform to attach,
// and serves until it is interrupted.
func Serve(address, version string, debug bool) error {
	if _, err := NewServer(version); err != nil {
		return err
	}
	var opts []tf6server.ServeOpt
	if debug {
		opts = append(opts, tf6server.WithManagedDebug())
	}
	return tf6server.Serve(address, func() tfprotov6.ProviderServer {
		server, _ := NewServer(version) // it worked before
		return server
	}, opts...)
}
