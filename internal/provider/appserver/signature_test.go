package appserver_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// signed returns a configuration whose release has a signature and keys, which
// are expressions.
func signed(source, signature string, keys ...string) string {
	return configuration(source, `source = "SOURCE" }`, fmt.Sprintf("source = %q\n    signature = %s\n    public_keys = [%s]\n  }", source, signature, strings.Join(keys, ", ")))
}

// signing returns an artifact, an expression of its signature and of the key.
func signing(t *testing.T) (source, signature, key string, sign func([]byte, string) string) {
	t.Helper()
	source, _ = archive(t, "one.tar.gz", "release one")
	content, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	public, sign := artifacttest.NewKey()
	return source, strconv.Quote(sign(content, "shop 1.4.0")), strconv.Quote(public), sign
}

func TestSignedRelease(t *testing.T) {
	machines := providertest.New("web1")
	source, signature, key, sign := signing(t)
	next, _ := artifacttest.NewKey()
	wanted := tfjsonpath.New("release")
	run(t, machines,
		testresource.TestStep{
			Config: signed(source, signature, key),
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, wanted.AtMapKey("public_keys"), knownvalue.ListSizeExact(1)),
			},
		},
		testresource.TestStep{Config: signed(source, signature, key), ConfigPlanChecks: emptyPlan()},
		testresource.TestStep{ // a second key, for the time of an exchange
			Config: signed(source, signature, key, strconv.Quote(next)),
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
			}},
		},
		testresource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: "web1@10.0.0.1/shop",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"impact"},
		},
		testresource.TestStep{ // a signature of something else
			Config: signed(source, strconv.Quote(sign([]byte("other"), "")), key), PlanOnly: true,
			ExpectError: says("release.signature:", "The file "+source+": the signature belongs to another file"),
		},
		testresource.TestStep{ // which is known at the apply alone
			Config:      "resource \"terraform_data\" \"key\" { input = " + strconv.Quote(next) + " }\n" + signed(source, signature, "terraform_data.key.output"),
			ExpectError: says("release.signature:", "was made with the key"),
		},
		testresource.TestStep{Config: configuration(source)}, // none is asked for any more
	)
	var spec api.AppServer
	if machines["web1"].Spec(t, shop(), &spec) {
		t.Error("the app server is still there after the destroy")
	}
}

func TestWrongSignaturesAreErrorsOfTheirAttributes(t *testing.T) {
	source, signature, key, sign := signing(t)
	other, _ := artifacttest.NewKey()
	short := strconv.Quote(strings.Join(strings.SplitAfter(sign([]byte("x"), ""), "\n")[:2], ""))
	for name, c := range map[string]struct {
		config   string
		at, want string
	}{
		"another key":        {signed(source, signature, strconv.Quote(other)), "release.signature:", "was made with the key"},
		"another file":       {signed(source, strconv.Quote(sign([]byte("x"), "")), key), "release.signature:", "belongs to another file"},
		"truncated":          {signed(source, short, key), "release.signature:", "was cut short: it has 2 of the 4 lines"},
		"name of the file":   {signed(source, `"shop.minisig"`, key), "release.signature:", "is no minisign signature"},
		"bad second key":     {signed(source, signature, key, `"RW"`), "release.public_keys[1]:", "is no minisign public key"},
		"three keys":         {signed(source, signature, key, key, key), "release.public_keys:", "3 public keys are given"},
		"no key":             {signed(source, signature), "release.public_keys", "at least 1 elements"},
		"no signature":       {signed(source, "null", key), "release.signature:", "no signature"},
		"an empty signature": {signed(source, `""`, key), "release.signature", "at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, providertest.New("web1"), testresource.TestStep{Config: c.config, PlanOnly: true, ExpectError: says(c.at, c.want)})
		})
	}
}
