//go:build lab

package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
)

const (
	// mirrorEnv names the CLI configuration that finds the provider under test.
	mirrorEnv = "FOOBAR_TEST_CLI_CONFIG"
	// version is that of the provider under test.
	version = "0.0.1"
)

// TestMain builds the provider once, where Terraform finds it without a network.
func TestMain(m *testing.M) {
	if os.Getenv(clientEnv) != "" {
		if err := clientMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	mirror, err := os.MkdirTemp("", "foobar-mirror-")
	if err == nil {
		err = build(mirror)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(mirror) // what is left is in the system's temporary directory
	os.Exit(code)
}

func build(mirror string) error {
	target := filepath.Join(mirror, "registry.terraform.io", "foobar-stack", "foobar", version,
		runtime.GOOS+"_"+runtime.GOARCH, "terraform-provider-foobar_v"+version)
	cmd := exec.Command("go", "build", "-o", target, "../../..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the provider: %w\n%s", err, out)
	}
	config := filepath.Join(mirror, "terraformrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Setenv(mirrorEnv, config)
}

// workspace is a directory with a configuration and its state. The framework's
// own test driver does not know for_each, which the examples live by.
type workspace struct {
	t         *testing.T
	directory string
	env       []string
}

// newWorkspace returns the workspace of a directory with a configuration.
func newWorkspace(t *testing.T, directory string) *workspace {
	t.Helper()
	w := &workspace{t: t, directory: directory}
	w.env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.Getenv(mirrorEnv), "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	w.must("init", "-input=false")
	return w
}

// command returns Terraform's command line, to be started by the caller.
func (w *workspace) command(ctx context.Context, args ...string) *exec.Cmd {
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = w.directory, w.env
	return cmd
}

// run runs Terraform; the error has what it said, in one line.
func (w *workspace) run(args ...string) (string, error) {
	var out, problem bytes.Buffer
	cmd := w.command(w.t.Context(), args...)
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("terraform %s: %w: %s", args[0], err, plain(problem.String()))
	}
	return out.String(), nil
}

func (w *workspace) must(args ...string) string {
	w.t.Helper()
	out, err := w.run(args...)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// said runs Terraform and returns what it printed, in one line.
func (w *workspace) said(args ...string) string {
	w.t.Helper()
	return plain(w.must(append(args, "-no-color", "-input=false")...))
}

// plain returns what Terraform printed in one line, without its frames.
func plain(said string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", "", "╷", "", "╵", "").Replace(said)), " ")
}

// apply applies the configuration.
func (w *workspace) apply() {
	w.t.Helper()
	w.must("apply", "-no-color", "-input=false", "-auto-approve")
}

// destroy destroys everything in the state.
func (w *workspace) destroy() {
	w.t.Helper()
	w.must("destroy", "-no-color", "-input=false", "-auto-approve")
}

// refused applies the configuration, which must fail, and returns why.
func (w *workspace) refused(verb ...string) string {
	w.t.Helper()
	out, err := w.run(append(verb, "-no-color", "-input=false")...)
	if err == nil {
		w.t.Fatalf("terraform %s did not fail:\n%s", verb[0], out)
	}
	return err.Error()
}

// plan returns the plan that refreshes the state and changes nothing.
func (w *workspace) plan() plan {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "plan")
	p := plan{t: w.t, said: w.said("plan", "-out="+file), Plan: new(tfjson.Plan)}
	p.text = w.must("show", "-json", file)
	if err := json.Unmarshal([]byte(p.text), p.Plan); err != nil {
		w.t.Fatalf("read the plan: %v", err)
	}
	return p
}

// state returns the values of every resource in the state, by address.
func (w *workspace) state() map[string]map[string]any {
	w.t.Helper()
	state := new(tfjson.State)
	if err := json.Unmarshal([]byte(w.must("show", "-json")), state); err != nil {
		w.t.Fatalf("read the state: %v", err)
	}
	values := map[string]map[string]any{}
	if state.Values != nil {
		collect(state.Values.RootModule, values)
	}
	return values
}

func collect(module *tfjson.StateModule, values map[string]map[string]any) {
	for _, r := range module.Resources {
		values[r.Address] = r.AttributeValues
	}
	for _, child := range module.ChildModules {
		collect(child, values)
	}
}

// plan is a plan that is looked at.
type plan struct {
	*tfjson.Plan
	t *testing.T
	// said is what Terraform printed, warnings too, and text the JSON.
	said, text string
}

// warns fails the test unless Terraform printed all of this with the plan.
func (p plan) warns(words ...string) {
	p.t.Helper()
	for _, word := range words {
		if !strings.Contains(p.said, word) {
			p.t.Errorf("the plan does not say %q: %s", word, p.said)
		}
	}
}

// empty fails the test if the plan changes anything.
func (p plan) empty() {
	p.t.Helper()
	for _, change := range p.ResourceChanges {
		if !change.Change.Actions.NoOp() && !change.Change.Actions.Read() {
			p.t.Errorf("the plan is not empty: %v of %s\nbefore %v\nafter  %v", change.Change.Actions, change.Address, change.Change.Before, change.Change.After)
		}
	}
}

// updates fails the test unless the plan changes just these resources, in place.
func (p plan) updates(addresses ...string) {
	p.t.Helper()
	wanted := map[string]bool{}
	for _, address := range addresses {
		wanted[address] = true
	}
	for _, change := range p.ResourceChanges {
		actions := change.Change.Actions
		if got := actions.Update(); got != wanted[change.Address] || !got && !actions.NoOp() && !actions.Read() {
			p.t.Errorf("the plan does %v to %s; wanted are updates of %v", actions, change.Address, addresses)
		}
	}
}

// differs fails the test unless the plan shows another value before than after
// it at a place of a resource.
func (p plan) differs(address string, at tfjsonpath.Path) {
	p.t.Helper()
	change := p.change(address)
	was, err := tfjsonpath.Traverse(change.Before, at)
	if err != nil {
		p.t.Errorf("the plan does not show what differs: %v\n%v", err, change.Before)
		return
	}
	will, err := tfjsonpath.Traverse(change.After, at)
	if err == nil && fmt.Sprint(was) == fmt.Sprint(will) {
		p.t.Errorf("the plan shows no difference at %s: it is %v", at, was)
	}
}

// planned returns the planned value at a place of a resource.
func (p plan) planned(address string, at tfjsonpath.Path) any {
	p.t.Helper()
	value, err := tfjsonpath.Traverse(p.change(address).After, at)
	if err != nil {
		p.t.Errorf("the plan has nothing at %s: %v", at, err)
	}
	return value
}

func (p plan) change(address string) *tfjson.Change {
	p.t.Helper()
	for _, change := range p.ResourceChanges {
		if change.Address == address {
			return change.Change
		}
	}
	p.t.Fatalf("the plan does not know %s", address)
	return nil
}
