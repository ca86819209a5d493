//go:build tools

// Package tools pins the programs that the build uses, in a module of its own
// so that the provider's module stays clean. `make` builds them into ../bin.
package tools

import (
	_ "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"
	_ "github.com/hashicorp/hc-install/cmd/hc-install"
	_ "github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs"
)
