package component_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbreplication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/machine"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// state is one Terraform state with its configuration, beside others for the
// same machines.
type state struct {
	*providertest.CLI
	t         *testing.T
	directory string
}

func newState(t *testing.T, machines providertest.Machines, configuration string) *state {
	t.Helper()
	factory := machines.Factories([]func() resource.Resource{
		appserver.New, dbreplication.New, dbserver.New, loadbalancer.New, machine.NewResource,
	}, appserver.NewDataSource, dbreplication.NewDataSource, dbserver.NewDataSource, loadbalancer.NewDataSource, machine.NewDataSource)["foobar"]
	s := &state{t: t, directory: t.TempDir()}
	s.CLI = providertest.NewCLI(t, s.directory, func() tfprotov6.ProviderServer {
		server, err := factory()
		if err != nil {
			t.Error(err)
		}
		return server
	})
	s.write(configuration)
	return s
}

// write replaces the configuration.
func (s *state) write(configuration string) {
	s.t.Helper()
	const head = "terraform {\n  required_providers {\n    foobar = { source = \"foobar-stack/foobar\" }\n  }\n}\n"
	if err := os.WriteFile(filepath.Join(s.directory, "main.tf"), []byte(head+configuration), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// does runs Terraform, which must succeed and say all of words.
func (s *state) does(command string, words ...string) string {
	s.t.Helper()
	return s.run(true, command, words...)
}

// fails runs Terraform, which must fail and say all of words.
func (s *state) fails(command string, words ...string) string {
	s.t.Helper()
	return s.run(false, command, words...)
}

func (s *state) run(succeeds bool, command string, words ...string) string {
	s.t.Helper()
	said, succeeded := s.Said(s.t, strings.Fields(command)...)
	if os.Getenv("SHOW_PLANS") != "" {
		s.t.Logf("$ terraform %s\n%s", command, said)
	}
	if succeeded != succeeds {
		s.t.Fatalf("terraform %s: succeeded %t\n%s", command, succeeded, said)
	}
	flat := strings.Join(strings.Fields(said), " ")
	for _, word := range words {
		if !strings.Contains(flat, word) {
			s.t.Errorf("terraform %s does not say %q:\n%s", command, word, said)
		}
	}
	return flat
}

// silent fails the test if text holds one of words.
func (s *state) silent(text string, words ...string) {
	s.t.Helper()
	for _, word := range words {
		if strings.Contains(text, word) {
			s.t.Errorf("it says %q: %s", word, text)
		}
	}
}

const (
	apply   = "apply -auto-approve -input=false"
	destroy = "destroy -auto-approve -input=false"
	nothing = "No changes."
)

// balancer returns a load balancer of a label, a name and a port.
func balancer(label, name, port string, more ...string) string {
	return `
resource "foobar_load_balancer" "` + label + `" {
  machine   = { name = "lb1", address = "10.0.0.10" }
  name      = "` + name + `"
  frontends = { http = { port = ` + port + `, backend = "web" } }
  backends  = { web = { servers = { web1 = { address = "10.0.0.1", port = 80 } } } }
` + strings.Join(more, "\n") + `
}
`
}

// archive writes a release and returns its path.
func archive(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	packed := tar.NewWriter(zipped)
	content := []byte("#!/bin/sh\n")
	for _, name := range []string{"run", "bin/shop"} {
		if err := packed.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
		if _, err := packed.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "release.tar.gz")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
