package appserver

import (
	"cmp"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// noLimit warns of a limit of memory that is not below what the machine has: it bounds
// nothing, and a database beside the app is not protected. Where the machine's memory is
// not known, there is nothing to warn of.
func (k *Kind) noLimit(change converge.Change) ([]api.Condition, error) {
	to, err := specOf(change.To.Spec)
	if err != nil || to.StaticSite() {
		return nil, err
	}
	limit, notSize := api.ParseSize(to.Limits.Memory)
	has, unknown := host.Memory(cmp.Or(k.machine.root, "/"))
	if notSize != nil || unknown != nil || limit < has {
		return nil, nil //nolint:nilerr // a part of the memory is less than all of it
	}
	const mebibyte = 1 << 20
	return []api.Condition{{
		Type: "MemoryUnlimited", Severity: api.SeverityWarning, Pointer: "/limits/memory",
		Message: fmt.Sprintf("%s is all the memory of this machine, which has %dM, or more: the limit bounds nothing, and an app that takes too much leaves none for its neighbours. "+
			"Write less, such as %q, or leave it out for %q.", to.Limits.Memory, has/mebibyte, fmt.Sprintf("%dM", has/mebibyte*2/5), api.DefaultAppServer().Limits.Memory),
	}}, nil
}
