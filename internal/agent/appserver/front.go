package appserver

import (
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// front is what nginx has in front of the slots while a spec goes into one of them: what
// is live goes on to be reached, where it listens and where its files are.
type front struct {
	ports  slotPorts
	static staticPrefixes
}

// slotPorts are the ports that nginx passes to in front of the slots. A slot whose
// app listens on a socket is not in it.
type slotPorts map[string]int

// staticPrefixes are the URL prefixes of the static files of both slots.
type staticPrefixes map[string]staticPrefix

// staticPrefix is what one of them has.
type staticPrefix struct {
	cache api.Duration
	// at is its place in the spec, "" if only the live release has it.
	at api.Pointer
	// everywhere tells that it is one of both slots.
	everywhere bool
}

// pointer is the place of a field in the spec.
func (p staticPrefix) pointer(field string) api.Pointer {
	if p.at == "" {
		return ""
	}
	return p.at.At(field)
}

// without returns the prefix whose files a slot serves in the place of one that it
// lacks: the longest shorter one, "" if there is none, or if no slot lacks it.
func (all staticPrefixes) without(prefix string) string {
	shorter := ""
	for other := range all {
		if strings.HasPrefix(prefix, other) && len(shorter) < len(other) && other != prefix {
			shorter = other
		}
	}
	if all[prefix].everywhere {
		return ""
	}
	return shorter
}

// inFront returns what is in front of both slots while a spec goes into one of them.
func inFront(l layout, slot string, s api.AppServer, before converge.InPlace) front {
	live, beside := before.Spec.(api.AppServer)
	left := liveSlot(l, before.State)
	if !beside || left == slot {
		live, left = s, other(slot)
	}
	f := front{ports: slotPorts{}, static: staticPrefixes{}}
	for name, of := range map[string]api.AppServer{slot: s, left: live} {
		if port := port(of, name); port != 0 {
			f.ports[name] = port
		}
	}
	for prefix, d := range live.Static {
		f.static[prefix] = staticPrefix{cache: d.Cache}
	}
	for prefix, d := range s.Static {
		_, both := live.Static[prefix]
		f.static[prefix] = staticPrefix{cache: d.Cache, at: api.Pointer("/static").At(prefix), everywhere: both}
	}
	return f
}
