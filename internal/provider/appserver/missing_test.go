package appserver_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// says returns a pattern of texts that come one after another, in whatever lines.
func says(texts ...string) *regexp.Regexp {
	patterns := make([]string, len(texts))
	for i, text := range texts {
		patterns[i] = loosely(text)
	}
	return regexp.MustCompile(`(?s)` + strings.Join(patterns, `.*`))
}

func remove(t *testing.T, path string) func() {
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// As long as the configuration means the release that the machine has, its file
// is not needed: not for a plan, a change of something else, nor a destroy.
func TestMissingFileOfThePresentRelease(t *testing.T) {
	machines := providertest.New("web1")
	source, sum := archive(t, "one.tar.gz", "release one")
	present := statecheck.ExpectKnownValue(address, tfjsonpath.New("release").AtMapKey("sha256"), knownvalue.StringExact(sum))
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{PreConfig: remove(t, source), Config: configuration(source), ConfigPlanChecks: emptyPlan()},
		testresource.TestStep{
			Config: configuration(source, `"info"`, `"debug"`),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
			}},
			ConfigStateChecks: []statecheck.StateCheck{present},
		},
		testresource.TestStep{ // of whatever file, if the checksum is given
			Config:           configuration("/elsewhere.tar.gz", `"info"`, `"debug"`, `source =`, `sha256 = "`+sum+`", source =`),
			ConfigPlanChecks: emptyPlan(),
		},
		testresource.TestStep{ // and still after a change that was of this side alone
			Config: configuration(source, `"info"`, `"debug"`, "port    = 80", "port    = 80\n  timeouts = { update = \"10m\" }"),
		},
	) // which destroys it without the file
	if machines["web1"].Spec(t, shop(), &api.AppServer{}) {
		t.Error("the app server is still there after the destroy")
	}
}

// A file that no machine can use is an error, which says how to do without it.
func TestDamagedFileOfThePresentRelease(t *testing.T) {
	machines := providertest.New("web1")
	source, _ := archive(t, "one.tar.gz", "release one")
	damage := func() {
		if err := os.Truncate(source, 0); err != nil {
			t.Fatal(err)
		}
	}
	directory := func() {
		remove(t, source)()
		if err := os.Mkdir(source, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{
			PreConfig: damage, Config: configuration(source), PlanOnly: true,
			ExpectError: says("release.source:", "The file "+source+" is empty (0 bytes)", "To keep the release", "To destroy the app server without the file, run terraform destroy -refresh=false; look at its plan: with -target=ADDRESS it destroys that and what refers to it"),
		},
		testresource.TestStep{
			PreConfig: directory, Config: configuration(source), PlanOnly: true,
			ExpectError: says("release.source: "+source+" is a directory", "terraform destroy -refresh=false; look at its plan"),
		},
		testresource.TestStep{PreConfig: remove(t, source), Config: configuration(source), ConfigPlanChecks: emptyPlan()},
	)
}

func TestMissingFileThatIsNeeded(t *testing.T) {
	machines := providertest.New("web1")
	web1 := machines["web1"]
	source, sum := archive(t, "one.tar.gz", "release one")
	other := strings.Repeat("ab", 32)
	given := func(sum string) []string { return []string{`source =`, `sha256 = "` + sum + `", source =`} }
	rebuilt := `address = "10.0.0.1", incarnation = 2`
	run(t, machines,
		testresource.TestStep{Config: configuration(source)},
		testresource.TestStep{ // a new release
			PreConfig: remove(t, source),
			Config:    configuration("/two.tar.gz"), PlanOnly: true,
			ExpectError: says("release.source:", "There is no file /two.tar.gz. Build the release, then plan again.", "set sha256 = \""+sum+"\"", "terraform destroy -refresh=false"),
		},
		testresource.TestStep{ // one that the machine lacks
			Config: configuration(source, given(other)...), PlanOnly: true,
			ExpectError: says("release.source:", "There is no file "+source, "the machine has no artifact with the SHA-256 "+other),
		},
		testresource.TestStep{ // a machine that was rebuilt
			Config: configuration(source, `address = "10.0.0.1"`, rebuilt), PlanOnly: true,
			ExpectError: says("release.source:", "There is no file "+source, "The machine is new or was rebuilt"),
		},
		testresource.TestStep{ // a machine that lost it: the drift cannot be repaired
			PreConfig: func() {
				web1.Lose(sum)
				web1.Change(t, shop(), func(c *api.Component) { c.Drift = map[string]api.Drift{"/srv/shop": {Detail: "is missing"}} })
			},
			Config: configuration(source), PlanOnly: true,
			ExpectError: says("release.source:", "There is no file "+source, "the machine has no artifact with the SHA-256 "+sum),
		},
		testresource.TestStep{ // no file at all, and a checksum that nobody knows
			Config: configuration(source, `source = "SOURCE"`, `sha256 = "`+other+`"`), PlanOnly: true,
			ExpectError: says("release.sha256:", "The machine has no artifact with the SHA-256 "+other+"; give the file in source"),
		},
	)
}

func TestCreateNeedsTheFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "one.tar.gz")
	sum := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		edits []string
		want  *regexp.Regexp
	}{
		"no checksum":                   {nil, says("release.source:", "There is no file "+missing)},
		"checksum":                      {[]string{`source =`, `sha256 = "` + sum + `", source =`}, says("release.source:", "There is no file "+missing, "the machine has no artifact")},
		"checksum that nobody knows of": {[]string{`source = "SOURCE"`, `sha256 = "` + sum + `"`}, says("release.sha256:", "The machine has no artifact")},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("web1"), testresource.TestStep{
				Config: configuration(missing, c.edits...), PlanOnly: true, ExpectError: c.want,
			})
		})
	}
}

// An app server of a lost state is adopted without the file.
func TestAdoptionWithoutTheFile(t *testing.T) {
	machines := providertest.New("web1")
	source, sum := archive(t, "one.tar.gz", "release one")
	run(t, machines, testresource.TestStep{Config: configuration(source)}, testresource.TestStep{
		PreConfig: func() { remove(t, source)() }, RefreshState: true,
	}, testresource.TestStep{
		ResourceName: address, ImportState: true, ImportStateId: "web1@10.0.0.1/shop",
		ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"impact"},
		Config: configuration(source, `source =`, `sha256 = "`+sum+`", source =`),
	})
}
