package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
)

// providerAddress is the provider's address in the registry.
const providerAddress = "registry.terraform.io/foobar-stack/foobar"

// CLI runs the real Terraform in a directory, with a provider that is served
// by the test itself.
type CLI struct {
	program, directory string
	environment        []string
}

// NewCLI returns a Terraform for a directory. Each run gets a server of its
// own, as a run of Terraform starts its provider anew.
func NewCLI(t testing.TB, directory string, server func() tfprotov6.ProviderServer) *CLI {
	t.Helper()
	program := os.Getenv("TF_ACC_TERRAFORM_PATH")
	if program == "" {
		program = "terraform"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	attached, closed := make(chan *plugin.ReattachConfig), make(chan struct{})
	go func() {
		// What goes wrong shows as an error of Terraform, which reaches no provider then.
		_ = tf6server.Serve(providerAddress, server, tf6server.WithDebug(ctx, attached, closed),
			tf6server.WithGoPluginLogger(hclog.NewNullLogger()), tf6server.WithoutLogStderrOverride())
	}()
	config := <-attached
	t.Cleanup(func() {
		cancel()
		<-closed
	})
	reattach, err := json.Marshal(map[string]any{providerAddress: map[string]any{
		"Protocol": string(config.Protocol), "ProtocolVersion": 6, "Pid": config.Pid, "Test": true,
		"Addr": map[string]string{"Network": config.Addr.Network(), "String": config.Addr.String()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "terraformrc")
	if err := os.WriteFile(none, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return &CLI{program: program, directory: directory, environment: append(os.Environ(),
		"TF_REATTACH_PROVIDERS="+string(reattach), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"TF_CLI_CONFIG_FILE="+none, "TF_DATA_DIR="+t.TempDir(),
	)}
}

// Run runs Terraform and returns what it printed, whether it succeeded or not.
func (c *CLI) Run(t testing.TB, arguments ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.program, arguments...)
	command.Dir, command.Env = c.directory, c.environment
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Logf("terraform %v: %s", arguments, errs.Bytes())
	}
	return out.Bytes()
}

// Said is Run, and returns what was printed on both outputs without the frames
// and the colors, and whether it succeeded.
func (c *CLI) Said(t testing.TB, arguments ...string) (text string, succeeded bool) {
	t.Helper()
	command := exec.CommandContext(t.Context(), c.program, append(arguments, "-no-color")...)
	command.Dir, command.Env = c.directory, c.environment
	out, err := command.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return strings.NewReplacer("│ ", "", "│", "", "╷", "", "╵", "").Replace(string(out)), err == nil
}
