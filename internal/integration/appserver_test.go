package integration_test

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const shop = "foobar_app_server.shop"

// appServer returns an app server on web1 that runs a release.
func appServer(source, environment string) string {
	return fmt.Sprintf(`
resource "foobar_app_server" "shop" {
  machine            = foobar_machine.web1
  name               = "shop"
  release            = { source = %q }
  command            = ["./app"]
  port               = 8080
  environment        = { %s }
  secrets_wo         = { SESSION_KEY = "hunter2" }
  secrets_wo_version = 1
}
`, source, environment)
}

// release writes an archive with one program and returns its path.
func release(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.tar.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(file)
	files := tar.NewWriter(zip)
	err = files.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(program))})
	if err == nil {
		_, err = files.Write([]byte(program))
	}
	if err = errors.Join(err, files.Close(), zip.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReleaseTravelsAndItsDriftIsRepaired(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	one, two := release(t, "#!/bin/sh\necho one\n"), release(t, "#!/bin/sh\necho two\n")
	before := block(m) + machine(m.Address(), 1)
	const nginx = "/etc/foobar/app-server/shop/nginx.conf"
	const unit = "foobar-app-shop-nginx.service"
	update := planned(plancheck.ExpectResourceAction(shop, plancheck.ResourceActionUpdate))
	run(t,
		testresource.TestStep{Config: before + appServer(one, ``), ConfigPlanChecks: planned()},
		testresource.TestStep{
			ResourceName: shop, ImportState: true, ImportStateId: "web1@" + m.Address() + "/shop",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name", ImportStateVerifyIgnore: []string{"impact"},
		},
		testresource.TestStep{Config: before + appServer(two, ``), ConfigPlanChecks: update},
		testresource.TestStep{ // a checksum that the machine does not know, and no file
			Config: strings.Replace(before+appServer(two, ``), `source = "`+two, `sha256 = "`+strings.Repeat("ab", 32), 1), PlanOnly: true,
			ExpectError: loosely("release.sha256: The machine has no artifact with the SHA-256"),
		},
		testresource.TestStep{ // a file edited by hand
			PreConfig: func() { appendTo(t, m.Path(nginx)) },
			Config:    before + appServer(two, ``), ConfigPlanChecks: update,
		},
		testresource.TestStep{ // a release deleted
			PreConfig: func() {
				if err := os.RemoveAll(m.Path("/srv/shop/releases")); err != nil {
					t.Fatal(err)
				}
			},
			Config: before + appServer(two, ``), ConfigPlanChecks: update,
		},
		testresource.TestStep{ // its artifact damaged as well, which the same apply uploads again
			PreConfig: func() {
				if err := errors.Join(os.RemoveAll(m.Path("/srv/shop/releases")), damageBlobs(m)); err != nil {
					t.Fatal(err)
				}
			},
			Config: before + appServer(two, ``), ConfigPlanChecks: update,
		},
		testresource.TestStep{ // a unit stopped, and seen on its place
			PreConfig: func() {
				if err := m.Units.Stop(context.Background(), unit); err != nil { //nolint:usetesting // the machine outlives the step
					t.Fatal(err)
				}
			},
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: testresource.TestCheckResourceAttrSet(shop, "drift."+unit+".detail"),
		},
		testresource.TestStep{
			Config: before + appServer(two, ``), ConfigPlanChecks: update,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(shop, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
			},
		},
	)
	if _, err := m.Admin().Get(t.Context(), api.ID{Kind: api.KindAppServer, Name: "shop"}); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("after the destroy the app server: %v", err)
	}
}

// damageBlobs cuts off the end of all artifacts that a machine has.
func damageBlobs(m *agenttest.Machine) error {
	blobs, err := filepath.Glob(m.Path("/var/lib/foobar/blobs/" + strings.Repeat("[0-9a-f]", 64)))
	if err == nil && len(blobs) == 0 {
		err = errors.New("the machine has no artifact")
	}
	for _, path := range blobs {
		info, found := os.Stat(path)
		if err = errors.Join(err, found); found == nil {
			err = errors.Join(err, os.Truncate(path, info.Size()-1))
		}
	}
	return err
}

// appendTo adds a line to a file, as a hand would.
func appendTo(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString("# edited\n")
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestReleaseThatFailsShowsItsLastWordsAndLeavesTheState(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	source := release(t, "#!/bin/sh\n")
	before := block(m) + machine(m.Address(), 1)
	crash := func(_ context.Context, c converge.Change, _ converge.Progress) error {
		if c.Undo || c.To == nil {
			return nil
		}
		return &api.Problem{
			Type: api.ProblemRolledBack, Title: "The release did not become healthy", Detail: "The app ended with status 1.",
			Violations: api.Violations{{Pointer: "/release/sha256", Detail: "this release"}}, Log: []string{"no database today"},
		}
	}
	run(t,
		testresource.TestStep{Config: before + appServer(source, ``), ConfigPlanChecks: planned()},
		testresource.TestStep{
			PreConfig:   func() { m.AppServers.Set(agenttest.Hooks{Apply: crash}) },
			Config:      before + appServer(source, `LOG_LEVEL = "debug"`),
			ExpectError: loosely(`no database today`),
		},
		testresource.TestStep{ // what the agent brought back is what the state says
			PreConfig: func() { m.AppServers.Set(agenttest.Hooks{}) },
			Config:    before + appServer(source, ``), PlanOnly: true,
		},
	)
}
