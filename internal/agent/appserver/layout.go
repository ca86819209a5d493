package appserver

import (
	"path"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Slots of an app server. Every path and unit of the app carries the slot's
// name, so that one release can stand beside the other.
const (
	slotBlue  = "blue"
	slotGreen = "green"
)

// slots lists them; a first release goes into the first one.
func slots() []string { return []string{slotBlue, slotGreen} }

// other returns the slot beside a slot.
func other(slot string) string {
	if slot == slotBlue {
		return slotGreen
	}
	return slotBlue
}

// Names of accounts of the image.
const (
	rootUser  = "root"
	nginxUser = "www-data"
)

const unitDir = "/etc/systemd/system"

// releaseDigits is how much of a release's checksum names its directory.
const releaseDigits = 12

// layout knows where everything of one app server stands.
type layout struct{ name string }

// user is the account that runs the app, and its group.
func (l layout) user() string { return "app-" + l.name }

// kindPrefix begins the names of the units of all app servers.
const kindPrefix = "foobar-app-"

func (l layout) unitPrefix() string { return kindPrefix + l.name }

// unit is one of the app server's units.
func (l layout) unit(name string) converge.Unit {
	return converge.Unit{Name: name, Prefix: kindPrefix}
}

func (l layout) appUnit(slot string) string { return l.unitPrefix() + "@" + slot + ".service" }

// appUnitFile is a file for each slot, no template: were it one, an app that
// crashes while its successor starts would come back as a mix of both.
func (l layout) appUnitFile(slot string) string { return path.Join(unitDir, l.appUnit(slot)) }

func (l layout) nginxUnit() string { return l.unitPrefix() + "-nginx.service" }

func (l layout) nginxUnitFile() string { return path.Join(unitDir, l.nginxUnit()) }

func (l layout) configDir() string {
	return path.Join("/etc/foobar", string(api.KindAppServer), l.name)
}

func (l layout) nginxConfig() string { return path.Join(l.configDir(), "nginx.conf") }

// environment and secrets are the app's variables, by slot: the old slot must
// be able to restart as it was while a new one starts.
func (l layout) environment(slot string) string { return path.Join(l.configDir(), slot+".env") }

func (l layout) secrets(slot string) string { return path.Join(l.configDir(), slot+".secrets") }

func (l layout) home() string { return path.Join("/srv", l.name) }

func (l layout) releases() string { return path.Join(l.home(), "releases") }

func (l layout) release(sha256 string) string {
	return path.Join(l.releases(), sha256[:min(releaseDigits, len(sha256))])
}

func (l layout) slots() string { return path.Join(l.home(), "slots") }

// slot is the directory of a slot's links. They are on disk, not in /run, so that
// they are there after a boot.
func (l layout) slot(slot string) string { return path.Join(l.slots(), slot) }

// within returns a path as a link in the home has it.
func (l layout) within(path string) string { return strings.TrimPrefix(path, l.home()+"/") }

// current is the link to the slot that the traffic goes to. nginx follows it with each
// connection to the app and with each static file, so one rename switches both.
func (l layout) current() string { return path.Join(l.home(), "current") }

// slotRelease is a slot's link to its release, where its app runs.
func (l layout) slotRelease(slot string) string { return path.Join(l.slot(slot), "release") }

// slotSocket is the link of a slot, or of the current one, that nginx connects through.
func slotSocket(slot string) string { return path.Join(slot, "app.sock") }

// staticKey is a URL prefix of static files as one name. No prefix has a "+".
func staticKey(prefix string) string { return strings.ReplaceAll(prefix, "/", "+") }

// staticRoot is where nginx looks for the files of a URL prefix in a slot, or in the
// current one: the URL's path follows.
func staticRoot(slot, prefix string) string { return path.Join(slot, "static", staticKey(prefix)) }

// staticLink is the link there, which leads to the directory of the release. A slot
// whose release has no such prefix has none.
func staticLink(slot, prefix string) string { return path.Join(staticRoot(slot, prefix), prefix) }

// appRuntime is the app's runtime directory below /run.
func (l layout) appRuntime(slot string) string { return l.unitPrefix() + "-" + slot }

func (l layout) appSocket(slot string) string {
	return path.Join("/run", l.appRuntime(slot), "app.sock")
}

func (l layout) nginxRuntime() string { return l.unitPrefix() + "-nginx" }

func (l layout) nginxRuntimeDir() string { return path.Join("/run", l.nginxRuntime()) }

// adminSocket is where nginx tells the agent which configuration is in force.
func (l layout) adminSocket() string { return path.Join(l.nginxRuntimeDir(), "admin.sock") }

// shimSocket is where nginx listens for a slot whose app listens on a port.
func (l layout) shimSocket(slot string) string { return path.Join(l.nginxRuntimeDir(), slot+".sock") }

// shims reports whether nginx listens for the slots, as no app listens on a socket.
func (layout) shims(s api.AppServer) bool { return s.StaticSite() || len(s.AppPorts) > 0 }

// socket is where the traffic of a slot goes.
func (l layout) socket(s api.AppServer, slot string) string {
	if l.shims(s) {
		return l.shimSocket(slot)
	}
	return l.appSocket(slot)
}

// drainFile takes the app server out of the load balancers while it exists.
func (l layout) drainFile() string { return path.Join(l.nginxRuntimeDir(), "drain") }
