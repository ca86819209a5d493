// terraform-provider-foobar serves the provider to Terraform or OpenTofu,
// which start it; it is of no use by hand.
package main

import (
	"context"
	"flag"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
)

// version is set by the linker of a release.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "serve until interrupted, for a debugger to attach: prints TF_REATTACH_PROVIDERS")
	flag.Parse()
	err := providerserver.Serve(context.Background(), provider.New(version), providerserver.ServeOpts{
		Address: "registry.terraform.io/foobar-stack/foobar",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatalf("serve the provider: %v", err)
	}
}
