package dbserver

import (
	"bytes"
	"maps"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Impact tells what a change costs the clients. Making a server costs nothing,
// as there were none; removing one ends them all. A file edited by hand counts
// as a restart, since nobody knows whether the server was started with it.
func (*Kind) Impact(change converge.Change) api.Impact {
	switch {
	case change.To == nil:
		return api.ImpactRestart
	case change.From == nil:
		return api.ImpactNone
	}
	p := PathsOf(change.Name)
	if change.Edited[p.Config] {
		return api.ImpactRestart
	}
	return impact(change, p)
}

// impact is Impact for a change of what stands, where the running server can
// still be asked what it has read.
func impact(change converge.Change, p Paths) api.Impact {
	var from converge.State // one that runs without a record is restarted: nobody knows what it has read
	if change.From != nil {
		from = change.From.State
	}
	to := change.To.State
	changed := changedVariables(contentOf(from, p.Config), contentOf(to, p.Config))
	for _, name := range changed {
		if !takenAtRuntime(name) {
			return api.ImpactRestart
		}
	}
	switch {
	case touchesUnit(change, p), !bytes.Equal(contentOf(from, p.UnitFile), contentOf(to, p.UnitFile)):
		return api.ImpactRestart
	case len(changed) > 0, change.Changed(p.Clients), !bytes.Equal(contentOf(from, p.Clients), contentOf(to, p.Clients)):
		return api.ImpactRuntime
	}
	return api.ImpactNone
}

// changedVariables returns the variables whose lines differ.
func changedVariables(from, to []byte) []string {
	before, after := parseConfig(from), parseConfig(to)
	all := maps.Clone(before)
	maps.Copy(all, after)
	var changed []string
	for name := range all {
		was, had := before[name]
		is, has := after[name]
		if had != has || was != is {
			changed = append(changed, name)
		}
	}
	return changed
}

// touchesUnit reports whether the unit or a file that amends it changes.
func touchesUnit(change converge.Change, p Paths) bool {
	for path := range change.Paths {
		if change.Changed(path) && (path == p.UnitFile || strings.Contains(path, "/"+p.Unit+".d/")) {
			return true
		}
	}
	return false
}
