package provider_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// secretive has each write-only secret that there is.
const secretive = `
terraform {
  required_providers {
    foobar = { source = "foobar-stack/foobar" }
  }
}

variable "secrets" {
  type    = map(string)
  default = { TOKEN = "hunter2" }
}

variable "password" {
  default = "hunter2"
}

variable "version_of" {
  default = 1
}

locals {
  web1 = { name = "web1", address = "10.0.0.1" }
}

resource "foobar_app_server" "shop" {
  machine            = local.web1
  name               = "shop"
  release            = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }
  command            = ["./bin/app"]
  port               = 80
  secrets_wo         = var.secrets
  secrets_wo_version = var.version_of
}

resource "foobar_db_replication" "main" {
  name    = "main"
  primary = "web1"
  members = {
    web1 = { server = { machine = local.web1, name = "main", engine = "mariadb", server_id = 1, port = 3306 } }
  }
  users = {
    app = { password_wo = var.password, password_wo_version = var.version_of }
    bot = { password_wo = "hunter2", password_wo_version = 1 }
  }
}
`

// TestASecretThatDiffersUnderItsVersionIsAWarning plans with other secrets than
// were applied, with the real Terraform.
func TestASecretThatDiffersUnderItsVersionIsAWarning(t *testing.T) {
	quiet(t)
	seed, err := pki.ParseSeed(strings.Repeat("01", 32))
	if err != nil {
		t.Fatal(err)
	}
	credentials := tfutil.Credentials{Deployment: "test", Seed: &seed}
	machines := providertest.New("web1")
	machines["web1"].Bring(strings.Repeat("0", 64))
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "main.tf"), []byte(secretive), 0o600); err != nil {
		t.Fatal(err)
	}
	make := machines.WithCredentials(&credentials, provider.New("test")().Resources(t.Context()))["foobar"]
	cli := providertest.NewCLI(t, directory, func() tfprotov6.ProviderServer {
		s, err := make()
		if err != nil {
			t.Error(err)
		}
		return s
	})
	if found := warnings(t, cli.Run(t, "apply", "-auto-approve", "-json")); len(found) > 0 {
		t.Fatalf("the first apply warns: %q", found)
	}
	state, err := os.ReadFile(filepath.Join(directory, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(state, []byte("hunter2")) {
		t.Error("the state holds a secret")
	}
	const of = "Secret changed, version unchanged: "
	for _, c := range []struct {
		name      string
		arguments []string
		want      []string
	}{
		{"the same", nil, nil},
		{"others", []string{"-var=password=hunter3", `-var=secrets={TOKEN="hunter3"}`}, []string{
			of + `secrets_wo["TOKEN"]: The value is not the one that was applied as version 1, and this apply does not use it. Raise secrets_wo_version to apply it.`,
			of + `users["app"].password_wo: The value is not the one that was applied as version 1, and this apply does not use it. Raise users["app"].password_wo_version to apply it.`,
		}},
		{"one more", []string{`-var=secrets={TOKEN="hunter2",KEY="hunter2"}`}, []string{
			of + `secrets_wo["KEY"]: The value is not the one that was applied as version 1, and this apply does not use it. Raise secrets_wo_version to apply it.`,
		}},
		{"another", []string{`-var=secrets={KEY="hunter2"}`}, []string{
			of + `secrets_wo["KEY"]: The value is not the one that was applied as version 1, and this apply does not use it. Raise secrets_wo_version to apply it.`,
			`Secret removed, version unchanged: Version 1 was applied with secrets_wo["TOKEN"], and this apply does not remove it. Raise secrets_wo_version to remove it.`,
		}},
		{"others under another version", []string{"-var=password=hunter3", `-var=secrets={TOKEN="hunter3"}`, "-var=version_of=2"}, nil},
	} {
		if got := warnings(t, cli.Run(t, append([]string{"plan", "-json"}, c.arguments...)...)); !slices.Equal(got, c.want) {
			t.Errorf("%s: warned\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	// An apply that does not use a value does not remember it either.
	others := []string{"-var=password=hunter3", `-var=secrets={TOKEN="hunter3"}`}
	cli.Run(t, append([]string{"apply", "-auto-approve", "-json"}, others...)...)
	if got := warnings(t, cli.Run(t, append([]string{"plan", "-json"}, others...)...)); len(got) != 2 {
		t.Errorf("after an apply under the same version there are the warnings %q", got)
	}
}

// warnings returns what Terraform says in a run, errors too, sorted.
func warnings(t *testing.T, output []byte) []string {
	t.Helper()
	var all []string
	for line := range bytes.Lines(output) {
		var message struct {
			Diagnostic *tfjson.Diagnostic `json:"diagnostic"`
		}
		if err := json.Unmarshal(line, &message); err != nil {
			t.Fatal(err)
		}
		if d := message.Diagnostic; d != nil {
			all = append(all, d.Summary+": "+d.Detail)
		}
	}
	slices.Sort(all)
	return all
}
