// terraform-provider-foobar serves the provider to Terraform or OpenTofu,
// which start it; it is of no use by hand.
package main

import (
	"flag"
	"log"
	"os"
	"runtime/debug"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
)

// version is set by the linker of a release.
var version = "dev"

func main() {
	debugger := flag.Bool("debug", false, "serve until interrupted, for a debugger to attach: prints TF_REATTACH_PROVIDERS")
	flag.Parse()
	// A plan allocates much and lasts for seconds: memory is cheaper than collecting it.
	debug.SetGCPercent(400)
	if !*debugger {
		quiet()
	}
	err := provider.Serve("registry.terraform.io/foobar-stack/foobar", version, *debugger)
	if err != nil {
		log.Fatalf("serve the provider: %v", err)
	}
}

// quiet spares the plugin framework the lines that Terraform would throw away:
// unless set otherwise it writes every one down to trace, also when nobody
// asked for logs. That is a third of the CPU time of a plan of 100 resources.
func quiet() {
	if os.Getenv("TF_LOG") != "" || os.Getenv("TF_LOG_PROVIDER") != "" {
		return
	}
	for _, name := range []string{"TF_LOG_SDK", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_SDK_PROTO"} {
		if os.Getenv(name) != "" {
			continue
		}
		if err := os.Setenv(name, "off"); err != nil {
			log.Fatalf("set %s: %v", name, err)
		}
	}
}
