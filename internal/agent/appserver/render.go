package appserver

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Render turns a valid spec into the state of an app server: in the slot that is
// live, or, if its app would change, in the other one. Its error is an
// [api.Problem] if the secrets cannot be given to an app.
func (*Kind) Render(name string, spec operation.Spec, secrets map[string]api.Secret, before converge.InPlace) (converge.State, error) {
	s, err := specOf(spec)
	if err != nil {
		return converge.State{}, err
	}
	if err := s.ValidateSecrets(secrets).Problem(); err != nil {
		return converge.State{}, err
	}
	l := layout{name: name}
	if live, ok := before.Spec.(api.AppServer); ok && live.StaticSite() != s.StaticSite() {
		return converge.State{}, otherNature(s)
	}
	slot := chooseSlot(l, s, before)
	return converge.State{
		Users: []converge.User{{Name: l.user()}},
		Dirs:  dirs(l, slot, s),
		Trees: []converge.Tree{tree(l, s.Release)},
		Files: files(l, slot, s, inFront(l, slot, s, before), secrets),
		Links: links(l, slot, s, slot == liveSlot(l, before.State)),
		Units: units(l, slot, s),
	}, nil
}

// otherNature refuses to make a site of files of an app, or the reverse: while one
// takes the place of the other, nginx would show the files of an app's release.
func otherNature(s api.AppServer) error {
	detail := "this app server is a site of files, and would get an app; give the app an app server of another name, or destroy this one first"
	if s.StaticSite() {
		detail = "this app server has an app, and would become a site of files; give the site an app server of another name, or destroy this one first"
	}
	return &api.Problem{
		Type: api.ProblemEngineRefused, Title: "The app server cannot become this in place",
		Violations: api.Violations{{Pointer: "/command", Detail: detail}},
	}
}

// units lists the app first: nginx then has somebody to ask.
func units(l layout, slot string, s api.AppServer) []converge.Unit {
	nginx := l.unit(l.nginxUnit())
	if s.StaticSite() {
		return []converge.Unit{nginx}
	}
	return []converge.Unit{l.unit(l.appUnit(slot)), nginx}
}

func tree(l layout, r api.Release) converge.Tree {
	t := converge.Tree{Path: l.release(r.SHA256), SHA256: r.SHA256, MaxBytes: r.MaxBytes, Source: "/release/sha256"}
	if r.Signature != "" {
		t.Signature = &converge.Signature{Text: r.Signature, Keys: r.PublicKeys, Source: "/release/signature"}
	}
	return t
}

// dirs opens the app's home to the app and to nginx, which is in its group,
// and to nobody else: an app does not read its neighbour's code.
func dirs(l layout, slot string, s api.AppServer) []converge.Dir {
	paths := []string{l.home(), l.releases(), l.slots(), l.slot(slot)}
	for _, link := range staticLinks(l, slot, s, false) {
		for dir := path.Dir(link.Path); dir != l.slot(slot); dir = path.Dir(dir) {
			paths = append(paths, dir)
		}
	}
	slices.Sort(paths)
	var all []converge.Dir
	for _, path := range slices.Compact(paths) {
		all = append(all, converge.Dir{Path: path, Mode: 0o750, Owner: rootUser, Group: l.user()})
	}
	return append(all, converge.Dir{Path: l.configDir(), Mode: 0o755, Owner: rootUser, Group: rootUser})
}

func files(l layout, slot string, s api.AppServer, f front, secrets map[string]api.Secret) []converge.File {
	all := []converge.File{
		nginxUnitText(l, s).File(l.nginxUnitFile(), 0o644),
		nginxText(l, s, f).File(l.nginxConfig(), 0o644),
		logConfig(l.nginxUnit(), s.Logs),
	}
	if s.StaticSite() {
		return all
	}
	return slices.Concat(appFiles(l, slot, s, secrets), all, []converge.File{logConfig(l.appUnit(slot), s.Logs)})
}

// appFiles are what the app of a slot is started with.
func appFiles(l layout, slot string, s api.AppServer, secrets map[string]api.Secret) []converge.File {
	all := []converge.File{
		appUnitText(l, slot, s).File(l.appUnitFile(slot), 0o644),
		// systemd reads both as root before the app runs; nobody else has to.
		appEnvironment(l, slot, s).File(l.environment(slot), 0o600),
	}
	if s.SecretsVersion == 0 {
		return all
	}
	values := make(map[string]string, len(secrets))
	for name, secret := range secrets {
		values[name] = secret.Reveal()
	}
	kept := environmentFile(values, "/secrets").File(l.secrets(slot), 0o600)
	kept.Secret = true
	for line := range kept.Sources {
		kept.Sources[line] = "/secrets_version" // the spec holds no more of a secret
	}
	return append(all, kept)
}

// revisionVariable tells the agent as of which apply a process was started.
const revisionVariable = "FOOBAR_REVISION"

// appEnvironment adds to the app's own variables a checksum of all that a
// process is started with, its secrets by their version alone.
func appEnvironment(l layout, slot string, s api.AppServer) *converge.Text {
	sum := sha256.New()
	sum.Write(appUnitText(l, slot, s).Content())
	sum.Write(environmentFile(s.Environment, "").Content())
	sum.Write(fmt.Appendf(nil, "%s %d %q", s.Release.SHA256, s.SecretsVersion, s.RestartTrigger))
	t := environmentFile(s.Environment, "/environment")
	t.Own(fmt.Sprintf("%s=\"%x\"", revisionVariable, sum.Sum(nil)[:8]))
	return t
}

// links lead to what a slot holds, and the traffic to the slot. In a slot that is
// served already the traffic follows its static links as well.
func links(l layout, slot string, s api.AppServer, served bool) []converge.Link {
	return append([]converge.Link{
		{Path: l.slotRelease(slot), Target: "../../" + l.within(l.release(s.Release.SHA256)), Source: "/release/sha256"},
		{Path: slotSocket(l.slot(slot)), Target: l.socket(s, slot), Source: "/app_ports"},
		{Path: l.current(), Target: l.within(l.slot(slot)), Switch: true},
	}, staticLinks(l, slot, s, served)...)
}

// staticLinks lead from the URL prefixes of a slot to the directories of its release.
func staticLinks(l layout, slot string, s api.AppServer, served bool) []converge.Link {
	var all []converge.Link
	for _, prefix := range slices.Sorted(maps.Keys(s.Static)) {
		all = append(all, converge.Link{
			Path: staticLink(l.slot(slot), prefix), Target: s.Static[prefix].Path(l.release(s.Release.SHA256)),
			Source: api.Pointer("/static").At(prefix).At("directory"), Switch: served, InPlace: served,
		})
	}
	return all
}
