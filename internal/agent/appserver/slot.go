package appserver

import (
	"bytes"
	"maps"
	"path"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// liveSlot returns the slot that a state sends its traffic to, "" if it has none.
func liveSlot(l layout, state converge.State) string {
	if target := state.Link(l.current()); target != "" {
		return path.Base(target)
	}
	return ""
}

// Sides are the two slots, for [operation.Switcher].
func (*Kind) Sides(name string) converge.Sides {
	l := layout{name: name}
	sides := converge.Sides{Trees: l.releases()}
	for _, slot := range slots() {
		file := func(path string) converge.File { return converge.File{Path: path, Owner: rootUser, Group: rootUser} }
		secrets := file(l.secrets(slot))
		secrets.Secret = true
		sides.Each = append(sides.Each, converge.State{
			Dirs:  []converge.Dir{{Path: l.slot(slot)}},
			Files: []converge.File{file(l.appUnitFile(slot)), file(l.environment(slot)), secrets},
			Links: []converge.Link{{Path: l.current(), Target: l.within(l.slot(slot)), Switch: true}},
			Units: []converge.Unit{l.unit(l.appUnit(slot))},
		})
	}
	return sides
}

// chooseSlot returns the slot that a spec belongs into, beside what is in place.
// The live one stays while nothing of its app changes; a repair of what somebody
// edited is a change.
func chooseSlot(l layout, s api.AppServer, before converge.InPlace) string {
	live := liveSlot(l, before.State)
	switch {
	case live == "":
		return slotBlue
	case s.Strategy == api.StrategyRestart || !appDiffers(l, live, s, before):
		return live
	case samePort(live, s, before):
		return live
	}
	return other(live)
}

// samePort reports whether the app of the free slot would listen where that of the
// live one does, so that the two cannot run side by side.
func samePort(live string, s api.AppServer, before converge.InPlace) bool {
	runs, ok := before.Spec.(api.AppServer)
	wanted := port(s, other(live))
	return wanted != 0 && (!ok || wanted == port(runs, live))
}

// appDiffers reports whether a process of the slot would be another one under the
// spec than it is as of what is in place.
func appDiffers(l layout, slot string, s api.AppServer, before converge.InPlace) bool {
	for _, key := range appKeys(l, slot, s) {
		if before.Touched[key] {
			return true
		}
	}
	wanted := converge.State{Links: links(l, slot, s, true)}
	if s.StaticSite() { // its links are all there is of it
		return !maps.Equal(linksBelow(l.slot(slot), before.State), linksBelow(l.slot(slot), wanted))
	}
	wanted.Files = appFiles(l, slot, s, nil)
	for _, path := range []string{l.appUnitFile(slot), l.environment(slot)} { // the latter has a checksum of all the rest
		if !bytes.Equal(before.State.File(path).Content, wanted.File(path).Content) {
			return true
		}
	}
	return before.State.Link(l.slotRelease(slot)) != wanted.Link(l.slotRelease(slot))
}

// appKeys are the paths, the unit and the account that the app of a slot depends on.
func appKeys(l layout, slot string, s api.AppServer) []string {
	return []string{
		l.appUnitFile(slot), l.appUnit(slot), l.environment(slot), l.secrets(slot),
		l.slotRelease(slot), l.release(s.Release.SHA256), converge.UserKey(l.user()),
	}
}

// linksBelow returns where those links of a state lead that are in a directory.
func linksBelow(dir string, state converge.State) map[string]string {
	targets := map[string]string{}
	for _, link := range state.Links {
		if strings.HasPrefix(link.Path, dir+"/") {
			targets[link.Path] = link.Target
		}
	}
	return targets
}

// port is where the app of a slot listens, 0 for its socket.
func port(s api.AppServer, slot string) int {
	switch {
	case len(s.AppPorts) == 0:
		return 0
	case slot == slotGreen && len(s.AppPorts) > 1:
		return s.AppPorts[1]
	}
	return s.AppPorts[0]
}

// slotStates is what the states of both slots follow from.
type slotStates struct {
	layout layout
	live   string
	// open is the change that has not ended, nil if there is none.
	open *converge.Change
	spec api.AppServer
	// app is what runs in the live slot, beside in the other one.
	app, beside systemd.Status
}

// explain returns the states; running is the release that runs in the live slot, ""
// if that is not known.
func (s slotStates) explain(running string) map[string]api.SlotStatus {
	live := api.SlotStatus{State: api.SlotLive, Release: s.spec.Release.SHA256, Detail: "The traffic goes here."}
	if !s.app.Active() {
		live.State, live.Detail = api.SlotDown, "The traffic goes here, and the app does not run."
	} else if running != "" {
		live.Release = running
	}
	return map[string]api.SlotStatus{s.live: live, other(s.live): s.free()}
}

// free returns the state of the slot that has no traffic. A change that has not ended
// has its next version there before its commit, and the one before it afterwards.
func (s slotStates) free() api.SlotStatus {
	switch next, before := s.holds(true), s.holds(false); {
	case next != nil:
		return api.SlotStatus{State: api.SlotStarting, Release: next.Release.SHA256, Detail: "A release starts here. Once it is healthy, the traffic goes here."}
	case before != nil:
		return api.SlotStatus{State: api.SlotDraining, Release: before.Release.SHA256, Detail: "The release before the live one finishes its requests here, and stops."}
	case s.left():
		return api.SlotStatus{State: api.SlotLeft, Detail: "An app runs here that no traffic goes to. The next apply stops it."}
	case s.spec.Strategy == api.StrategyRestart:
		return api.SlotStatus{State: api.SlotEmpty, Detail: `Not used with strategy = "restart".`}
	}
	return api.SlotStatus{State: api.SlotEmpty, Detail: "The next release starts here, beside the live one."}
}

// holds returns the spec of the next or of the previous version of the open change, if
// it is in the slot that has no traffic.
func (s slotStates) holds(next bool) *api.AppServer {
	if s.open == nil {
		return nil
	}
	version := s.open.From
	if next {
		version = s.open.To
	}
	if version == nil || liveSlot(s.layout, version.State) != other(s.live) {
		return nil
	}
	spec, err := specOf(version.Spec)
	if err != nil {
		return nil
	}
	return &spec
}

// left reports whether an app runs in the slot that has no traffic, and no change is
// under way that ends it.
func (s slotStates) left() bool { return s.open == nil && s.beside.Active() }
