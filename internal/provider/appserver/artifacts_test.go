package appserver_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// every returns a configuration with one app server for each artifact, which
// it writes to files, and the case that each resource is of.
func every(t *testing.T, cases []artifacttest.Case) (configuration string, resources map[string]artifacttest.Case) {
	t.Helper()
	dir := t.TempDir()
	resources = map[string]artifacttest.Case{}
	var b strings.Builder
	for i, c := range cases {
		path := filepath.Join(dir, fmt.Sprintf("%d.tar.gz", i))
		if err := os.WriteFile(path, c.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		resources[fmt.Sprintf("foobar_app_server.a%d", i)] = c
		fmt.Fprintf(&b, `
resource "foobar_app_server" "a%d" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = "a%d"
  release = { source = %q, max_bytes = %d }
  command = ["python3"]
  port    = %d
}
`, i, i, path, artifacttest.MaxBytes, 10000+i)
	}
	return b.String(), resources
}

// boxPattern is how Terraform frames a message.
var boxPattern = regexp.MustCompile(`(?m)^[│╷╵]? ?`)

// messages returns Terraform's errors by the resource that each is of.
func messages(err error) map[string]string {
	found := map[string]string{}
	for text := range strings.SplitSeq(boxPattern.ReplaceAllString(err.Error(), ""), "Error: ") {
		if match := regexp.MustCompile(`with (\S+),`).FindStringSubmatch(text); match != nil {
			found[match[1]] += strings.Join(strings.Fields(text), " ")
		}
	}
	return found
}

// The same artifacts are given to the agent in TestUnpackAgreesWithThePlan.
func TestBrokenArtifactsAreErrorsOfThePlan(t *testing.T) {
	many := artifacttest.Case{Name: "too many entries", Content: artifacttest.TooMany(artifact.DefaultEntries), Want: "has more than 200000 entries"}
	configuration, resources := every(t, append(artifacttest.Cases(), many))
	machines := providertest.New("web1")
	found := map[string]string{}
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: machines.Factories(
			[]func() resource.Resource{appserver.New}, []func() datasource.DataSource{appserver.NewDataSource}...),
		ErrorCheck: func(err error) error {
			found = messages(err)
			return nil
		},
		Steps: []testresource.TestStep{{Config: configuration, PlanOnly: true, ExpectNonEmptyPlan: true}},
	})
	for resource, c := range resources {
		text := found[resource]
		switch {
		case c.Want == "" && text != "":
			t.Errorf("%s: a good artifact is refused: %s", c.Name, text)
		case c.Want != "" && !strings.Contains(text, c.Want):
			t.Errorf("%s: the plan says %q, want %q", c.Name, cmp.Or(text, "nothing"), c.Want)
		case c.Want != "" && !strings.Contains(text, "release.source: "):
			t.Errorf("%s: the error is not at release.source: %s", c.Name, text)
		}
		if testing.Verbose() && text != "" {
			t.Logf("%s: %s", c.Name, text)
		}
	}
}

// An artifact that is good is uploaded as it is, byte by byte.
func TestGoodArtifactsAreUploaded(t *testing.T) {
	var good []artifacttest.Case
	for _, c := range artifacttest.Cases() {
		if c.Want == "" {
			good = append(good, c)
		}
	}
	configuration, _ := every(t, good)
	machines := providertest.New("web1")
	run(t, machines, testresource.TestStep{Config: configuration})
	for _, c := range good {
		if !machines["web1"].Has(checksum(c.Content)) {
			t.Errorf("%s: it was not uploaded", c.Name)
		}
	}
}
