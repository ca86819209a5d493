package appserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// What a command names of the release is looked up in it while planning.
func TestPlanTellsWhatTheReleaseLacks(t *testing.T) {
	source := filepath.Join(t.TempDir(), "app.tar.gz")
	packed := artifacttest.Pack(artifacttest.Program("shop-1.0/bin/shop", ""), artifacttest.File("run.sh", ""), artifacttest.File("public/a.css", ""), artifacttest.Link("latest", "public"))
	if err := os.WriteFile(source, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		attributes string
		want       []string // none if the plan is good
	}{
		"packed with its directory": {`command = ["./bin/shop"]`, []string{"command[0]:", `"./bin/shop" is not in the release`, `"./shop-1.0/bin/shop"`}},
		"not executable":            {`command = ["./run.sh"]`, []string{"The program is not executable", "command[0]:", "chmod +x"}},
		"a directory":               {`command = ["./shop-1.0/bin"]`, []string{"command[0]:", "is a directory of the release"}},
		"of the machine":            {`command = ["/opt/app"]`, nil},
		"by the machine's PATH":     {`command = ["shop"]`, nil},
		"static directory": {
			`command = ["python3"]` + "\n" + `static = { "/" = { directory = "publik" } }`,
			[]string{`static["/"].directory:`, `"publik" is not in the release`, `"public"`},
		},
		"static link": {
			`command = ["python3"]` + "\n" + `static = { "/" = { directory = "latest" } }`,
			[]string{`static["/"].directory:`, "leads over a link"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := ""
			step := testresource.TestStep{Config: `
resource "foobar_app_server" "shop" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = "shop"
  release = { source = "` + source + `" }
  port    = 8080
  ` + c.attributes + `
}`, PlanOnly: true, ExpectNonEmptyPlan: true}
			testresource.UnitTest(t, testresource.TestCase{
				ProtoV6ProviderFactories: providertest.New("web1").Factories([]func() resource.Resource{appserver.New}),
				ErrorCheck: func(err error) error {
					found = strings.Join(strings.Fields(boxPattern.ReplaceAllString(err.Error(), "")), " ")
					return nil
				},
				Steps: []testresource.TestStep{step},
			})
			if (found != "") != (len(c.want) > 0) {
				t.Errorf("the plan says %q", found)
			}
			for _, want := range c.want {
				if !strings.Contains(found, want) {
					t.Errorf("the plan says %q, want %q", found, want)
				}
			}
		})
	}
}

// Of a file that is not the one that is meant, it is not said what it lacks.
func TestPlanLooksIntoNoOtherFile(t *testing.T) {
	source, sum := archive(t, "one.tar.gz", "release one")
	testresource.UnitTest(t, testresource.TestCase{
		ProtoV6ProviderFactories: providertest.New("web1").Factories([]func() resource.Resource{appserver.New}),
		ErrorCheck: func(err error) error {
			if text := err.Error(); !strings.Contains(text, "The artifact has another checksum") || strings.Contains(text, "lacks the program") {
				t.Errorf("the plan says %s", text)
			}
			return nil
		},
		Steps: []testresource.TestStep{{PlanOnly: true, Config: `
resource "foobar_app_server" "shop" {
  machine = { name = "web1", address = "10.0.0.1" }
  name    = "shop"
  release = { source = "` + source + `", sha256 = "` + strings.Repeat("0", len(sum)) + `" }
  command = ["./bin/none"]
  port    = 8080
}`}},
	})
}
