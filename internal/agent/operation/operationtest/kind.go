// Package operationtest has a small kind of component for tests: a unit with a
// configuration file, on the service manager of package systemdtest.
package operationtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd/systemdtest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Spec is the kind's spec.
type Spec struct {
	// Port is claimed.
	Port int `json:"port"`
	// Text stands in the configuration file. The checker refuses one that
	// holds [Refused]; with [systemdtest.Broken] in it the unit does not start.
	Text string `json:"text"`
	// Weight is a value of the running engine alone.
	Weight int `json:"weight"`
	// SHA256, if given, names a release.
	SHA256 string `json:"sha256,omitempty"`
	// Signature and Key are what the release has to be signed with.
	Signature      string `json:"signature,omitempty"`
	Key            string `json:"key,omitempty"`
	SecretsVersion int64  `json:"secrets_version,omitempty"`
}

// Refused is what the checker does not like.
const Refused = "refused"

// Claims returns the port.
func (s Spec) Claims() []api.Claim {
	return []api.Claim{{Network: "tcp", Port: s.Port, Pointer: "/port"}}
}

// Kind is the kind. Its zero fields are filled in by the test.
type Kind struct {
	// Name is which kind it plays.
	Name api.Kind
	// Root is the machine's directory.
	Root  string
	Units *systemdtest.Systemd
	// Unitless takes the unit away: the kind has its files, and an engine that
	// is no unit of the machine.
	Unitless bool
	// Gate, if set, is asked before a change is followed; it may wait.
	Gate func(ctx context.Context, change converge.Change) error
	// Foresee, if set, is what the kind foresees of a change.
	Foresee func(change converge.Change) (api.Plan, error)
}

var (
	_ operation.Kind      = (*Kind)(nil)
	_ operation.Previewer = (*Kind)(nil)
)

// Kind returns the name.
func (k *Kind) Kind() api.Kind { return k.Name }

// Unit is the name of a component's unit.
func Unit(name string) string { return "foobar-" + name + ".service" }

// Config is the path of a component's configuration.
func Config(name string) string { return "/etc/foobar/test/" + name + "/app.conf" }

// Weight is the path of what plays the running engine's memory.
func (k *Kind) Weight(name string) string { return filepath.Join(k.Root, "run", name+".weight") }

// Validate decodes a spec.
func (k *Kind) Validate(raw json.RawMessage) (operation.Spec, error) {
	var s Spec
	if err := api.Decode(raw, &s); err != nil {
		return nil, err
	}
	var found api.Violations
	if s.Port < 1 || s.Port > 65535 {
		found.Add("/port", "%d is no port", s.Port)
	}
	return s, found.Problem()
}

// Render returns the files and units.
func (k *Kind) Render(name string, spec operation.Spec, secrets map[string]api.Secret, _ converge.InPlace) (converge.State, error) {
	s, ok := spec.(Spec)
	if !ok {
		return converge.State{}, fmt.Errorf("the spec is a %T", spec)
	}
	dir := filepath.Dir(Config(name))
	text := fmt.Sprintf("port %d\ntext %s\n", s.Port, s.Text)
	state := converge.State{
		Dirs: []converge.Dir{{Path: dir, Mode: 0o755, Owner: "root", Group: "root"}},
		Files: []converge.File{
			{Path: Config(name), Mode: 0o644, Owner: "root", Group: "root", Content: []byte(text), Sources: map[int]api.Pointer{1: "/port", 2: "/text"}},
			{Path: filepath.Join(systemdtest.Units, Unit(name)), Mode: 0o644, Owner: "root", Group: "root", Content: []byte(text)},
		},
		Units: []converge.Unit{{Name: Unit(name)}},
	}
	if k.Unitless {
		state.Files, state.Units = state.Files[:1], nil
	}
	if s.SHA256 != "" {
		path := "/srv/" + name + "/releases/" + s.SHA256[:12]
		for _, p := range []string{"/srv/" + name, "/srv/" + name + "/releases"} {
			state.Dirs = append(state.Dirs, converge.Dir{Path: p, Mode: 0o755, Owner: "root", Group: "root"})
		}
		state.Trees = []converge.Tree{{Path: path, SHA256: s.SHA256, MaxBytes: 1 << 20, Source: "/sha256"}}
		if s.Signature != "" {
			state.Trees[0].Signature = &converge.Signature{Text: s.Signature, Keys: []string{s.Key}, Source: "/signature"}
		}
		state.Links = []converge.Link{{Path: "/srv/" + name + "/current", Target: path, Source: "/sha256"}}
	}
	if s.SecretsVersion > 0 {
		var lines []string
		for _, key := range slices.Sorted(maps.Keys(secrets)) {
			lines = append(lines, key+"="+secrets[key].Reveal()+"\n")
		}
		state.Files = append(state.Files, converge.File{
			Path: filepath.Join(dir, "secrets"), Mode: 0o600, Owner: "root", Group: "root",
			Content: []byte(strings.Join(lines, "")), Secret: true,
		})
	}
	return state, nil
}

// Check reads the staged configuration.
func (k *Kind) Check(_ context.Context, staged converge.Staged) error {
	for _, f := range staged.Version.State.Files {
		content, err := os.ReadFile(staged.Path(f.Path))
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(content), "\n") {
			if strings.Contains(line, Refused) && f.Source(i+1) != "" {
				return &api.Problem{
					Type: api.ProblemEngineRefused, Title: "The engine refuses the configuration",
					Violations: []api.Violation{{Pointer: f.Source(i + 1), Detail: line}},
				}
			}
		}
	}
	return nil
}

// Impact calls every changed file a restart.
func (k *Kind) Impact(change converge.Change) api.Impact {
	if change.From != nil && len(change.Paths) > 0 {
		return api.ImpactRestart
	}
	return api.ImpactNone
}

// Preview returns what Foresee does.
func (k *Kind) Preview(_ context.Context, _ string, change converge.Change) (api.Plan, error) {
	if k.Foresee == nil {
		return api.Plan{}, nil
	}
	return k.Foresee(change)
}

// Apply restarts the unit if its configuration changed or it does not run.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if k.Gate != nil {
		if err := k.Gate(ctx, change); err != nil {
			return err
		}
	}
	if change.To == nil {
		if err := os.Remove(k.Weight(change.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	spec, ok := change.To.Spec.(Spec)
	if !ok {
		return fmt.Errorf("the spec is a %T", change.To.Spec)
	}
	if !k.Unitless {
		if err := k.follow(ctx, change, progress); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(k.Weight(change.Name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(k.Weight(change.Name), []byte(strconv.Itoa(spec.Weight)), 0o644)
}

// follow has the unit run what the files say.
func (k *Kind) follow(ctx context.Context, change converge.Change, progress converge.Progress) error {
	unit := Unit(change.Name)
	status, err := k.Units.Status(ctx, unit)
	if err != nil {
		return err
	}
	if status.Active() && !change.Restart && !change.Changed(Config(change.Name)) && !change.Changed(filepath.Join(systemdtest.Units, unit)) {
		return nil
	}
	progress(api.PhaseActivate, "restart %s", unit)
	return k.Units.Restart(ctx, unit)
}

// Observe reads the weight back.
func (k *Kind) Observe(_ context.Context, name string, applied converge.Version) (operation.Observation, error) {
	spec, ok := applied.Spec.(Spec)
	if !ok {
		return operation.Observation{}, fmt.Errorf("the spec is a %T", applied.Spec)
	}
	observed := operation.Observation{Spec: spec, Status: map[string]string{"name": name}}
	text, err := os.ReadFile(k.Weight(name))
	if err != nil {
		observed.Conditions = []api.Condition{{Type: "EngineDown", Severity: api.SeverityError, Message: err.Error()}}
		return observed, nil //nolint:nilerr // an engine that is down is an observation
	}
	if spec.Weight, err = strconv.Atoi(string(text)); err != nil {
		return observed, err
	}
	observed.Spec = spec
	return observed, nil
}
