package appserver

import (
	"path"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Slots of an app server. Blue is the one in use; every path and unit of the
// app carries the slot's name, so that green can stand beside it.
const (
	slotBlue  = "blue"
	slotGreen = "green"
)

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

func (l layout) unitPrefix() string { return "foobar-app-" + l.name }

func (l layout) appTemplate() string { return path.Join(unitDir, l.unitPrefix()+"@.service") }

func (l layout) appUnit(slot string) string { return l.unitPrefix() + "@" + slot + ".service" }

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

func (l layout) slot(slot string) string { return path.Join(l.slots(), slot) }

func (l layout) current() string { return path.Join(l.home(), "current") }

// currentSocket is the link that nginx connects through. It stands on disk,
// not in /run, so that it is there after a boot; another slot is put into
// service by renaming another link over it.
func (l layout) currentSocket() string { return path.Join(l.home(), "current.sock") }

// appRuntime is the app's runtime directory below /run; slot may be systemd's "%i".
func (l layout) appRuntime(slot string) string { return l.unitPrefix() + "-" + slot }

func (l layout) appSocket(slot string) string {
	return path.Join("/run", l.appRuntime(slot), "app.sock")
}

func (l layout) nginxRuntime() string { return l.unitPrefix() + "-nginx" }

func (l layout) nginxRuntimeDir() string { return path.Join("/run", l.nginxRuntime()) }

// adminSocket is where nginx tells the agent which configuration is in force.
func (l layout) adminSocket() string { return path.Join(l.nginxRuntimeDir(), "admin.sock") }

// drainFile takes the app server out of the load balancers while it exists.
func (l layout) drainFile() string { return path.Join(l.nginxRuntimeDir(), "drain") }
