package appserver

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Render turns a valid spec into the state of an app server. Its error is an
// [api.Problem] if the secrets cannot be given to an app.
func (*Kind) Render(name string, spec operation.Spec, secrets map[string]api.Secret, _ converge.InPlace) (converge.State, error) {
	s, err := specOf(spec)
	if err != nil {
		return converge.State{}, err
	}
	if err := s.ValidateSecrets(secrets).Problem(); err != nil {
		return converge.State{}, err
	}
	l := layout{name: name}
	return converge.State{
		Users: []converge.User{{Name: l.user()}},
		Dirs:  dirs(l),
		Trees: []converge.Tree{{
			Path: l.release(s.Release.SHA256), SHA256: s.Release.SHA256,
			MaxBytes: s.Release.MaxBytes, Source: "/release/sha256",
		}},
		Files: files(l, s, secrets),
		Links: links(l, s),
		// The app first: nginx then has somebody to ask.
		Units: []converge.Unit{{Name: l.appUnit(slotBlue)}, {Name: l.nginxUnit()}},
	}, nil
}

// dirs opens the app's home to the app and to nginx, which is in its group,
// and to nobody else: an app does not read its neighbour's code.
func dirs(l layout) []converge.Dir {
	home := func(path string) converge.Dir {
		return converge.Dir{Path: path, Mode: 0o750, Owner: rootUser, Group: l.user()}
	}
	return []converge.Dir{
		home(l.home()), home(l.releases()), home(l.slots()),
		{Path: l.configDir(), Mode: 0o755, Owner: rootUser, Group: rootUser},
	}
}

func files(l layout, s api.AppServer, secrets map[string]api.Secret) []converge.File {
	all := []converge.File{
		appUnitText(l, s).File(l.appTemplate(), 0o644),
		nginxUnitText(l, s).File(l.nginxUnitFile(), 0o644),
		nginxText(l, s).File(l.nginxConfig(), 0o644),
		// systemd reads both as root before the app runs; nobody else has to.
		appEnvironment(l, s).File(l.environment(slotBlue), 0o600),
		logConfig(l.appUnit(slotBlue), s.Logs),
		logConfig(l.nginxUnit(), s.Logs),
	}
	if s.SecretsVersion == 0 {
		return all
	}
	values := make(map[string]string, len(secrets))
	for name, secret := range secrets {
		values[name] = secret.Reveal()
	}
	kept := environmentFile(values, "/secrets").File(l.secrets(slotBlue), 0o600)
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
func appEnvironment(l layout, s api.AppServer) *converge.Text {
	sum := sha256.New()
	sum.Write(appUnitText(l, s).Content())
	sum.Write(environmentFile(s.Environment, "").Content())
	sum.Write(fmt.Appendf(nil, "%s %d", s.Release.SHA256, s.SecretsVersion))
	t := environmentFile(s.Environment, "/environment")
	t.Own(fmt.Sprintf("%s=\"%x\"", revisionVariable, sum.Sum(nil)[:8]))
	return t
}

func links(l layout, s api.AppServer) []converge.Link {
	release := l.release(s.Release.SHA256)
	all := []converge.Link{
		{Path: l.slot(slotBlue), Target: "../" + strings.TrimPrefix(release, l.home()+"/"), Source: "/release/sha256"},
		{Path: l.current(), Target: strings.TrimPrefix(l.slot(slotBlue), l.home()+"/")},
	}
	if s.AppPort == 0 {
		all = append(all, converge.Link{Path: l.currentSocket(), Target: l.appSocket(slotBlue), Source: "/app_port"})
	}
	return all
}
