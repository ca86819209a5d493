package integration_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	testresource "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const notes = "foobar_db_server.notes"

func notesID() api.ID { return api.ID{Kind: api.KindDBServer, Name: "notes"} }

// dbServer returns a database server on web1 with these settings and further lines.
func dbServer(settings map[string]string, lines ...string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "    %s = %q\n", name, settings[name])
	}
	return fmt.Sprintf(`
resource "foobar_db_server" "notes" {
  machine         = foobar_machine.web1
  name            = "notes"
  engine          = "mariadb"
  allowed_clients = [foobar_machine.web1.address, "192.0.2.0/24"]
  settings = {
%s  }
  %s
}
`, &text, strings.Join(lines, "\n  "))
}

// leafOf returns what the certificate of db server notes names, and the
// certificate itself; nothing if there is none.
func leafOf(t *testing.T, m *agenttest.Machine) (names []string, text string) {
	t.Helper()
	raw, err := os.ReadFile(m.Path("/var/lib/foobar/identity/leaves/" + notesID().LeafName() + "/cert.pem"))
	if os.IsNotExist(err) {
		return nil, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := pki.ParseCertificate(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	names = slices.Clone(certificate.DNSNames)
	for _, address := range certificate.IPAddresses {
		names = append(names, address.String())
	}
	return names, string(raw)
}

func TestDatabaseServerIsMadeWithItsCertificate(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	before := block(m) + machine(m.Address(), 1)
	settings := map[string]string{"innodb_buffer_pool_size": "128M", "max_connections": "200"}
	var first string
	run(t,
		testresource.TestStep{Config: before},
		testresource.TestStep{ // the machine is asked while it has no certificate yet
			Config: before + dbServer(settings),
			ConfigPlanChecks: planned(
				plancheck.ExpectKnownValue(notes, tfjsonpath.New("impact"), knownvalue.StringExact("start")),
				between(func() {
					if names, _ := leafOf(t, m); names != nil {
						t.Errorf("a plan has signed a certificate for %v", names)
					}
				}),
			),
			Check: func(*terraform.State) error {
				var names []string
				names, first = leafOf(t, m)
				if want := []string{"web1.test.internal", "web1", "127.0.0.1"}; !slices.Equal(names, want) {
					t.Errorf("the certificate names %v, not %v", names, want)
				}
				return nil
			},
		},
		testresource.TestStep{
			ResourceName: notes, ImportState: true, ImportStateId: "web1@" + m.Address() + "/notes",
			ImportStateVerify: true, ImportStateVerifyIdentifierAttribute: "name",
			// The clients are written as a machine's address, which an import cannot know of.
			ImportStateVerifyIgnore: []string{"impact", "allowed_clients"},
		},
		testresource.TestStep{ // a write with nothing to sign
			Config:           before + dbServer(map[string]string{"innodb_buffer_pool_size": "128M", "max_connections": "300"}),
			ConfigPlanChecks: planned(plancheck.ExpectKnownValue(notes, tfjsonpath.New("impact"), knownvalue.StringExact("runtime"))),
			Check: func(*terraform.State) error {
				if _, now := leafOf(t, m); now != first {
					t.Error("the certificate was signed again, though there was no need")
				}
				return nil
			},
		},
		testresource.TestStep{ // another address is another name
			Config: before + dbServer(settings, `listen_addresses = ["10.0.0.1"]`), ConfigPlanChecks: planned(),
			Check: func(*terraform.State) error {
				if names, _ := leafOf(t, m); !slices.Contains(names, "10.0.0.1") || slices.Contains(names, "127.0.0.1") {
					t.Errorf("the certificate names %v", names)
				}
				return nil
			},
		},
	)
	if _, err := m.Admin().Get(t.Context(), notesID()); !api.IsProblem(err, api.ProblemNotFound) {
		t.Errorf("after the destroy the database server: %v", err)
	}
}

func TestPlanShowsWhatEachSettingCosts(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	before := block(m) + machine(m.Address(), 1)
	settings := map[string]string{"innodb_buffer_pool_size": "128M", "max_connections": "200"}
	steps := []testresource.TestStep{{Config: before + dbServer(settings)}}
	for _, c := range []struct{ name, value, impact string }{
		{"max_connections", "300", "runtime"},
		{"slow_query_log", "ON", "runtime"},
		{"innodb_buffer_pool_size", "256M", "restart"},
		{"innodb_autoinc_lock_mode", "2", "restart"},
	} {
		settings = maps.Clone(settings)
		settings[c.name] = c.value
		steps = append(steps, testresource.TestStep{
			Config: before + dbServer(settings),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(notes, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(notes, tfjsonpath.New("impact"), knownvalue.StringExact(c.impact)),
				plancheck.ExpectKnownValue(notes, tfjsonpath.New("settings").AtMapKey(c.name), knownvalue.StringExact(c.value)),
			),
		})
	}
	run(t, steps...)
}

func TestDriftOfADatabaseServerIsRepaired(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	config := block(m) + machine(m.Address(), 1) + dbServer(map[string]string{"max_connections": "200"})
	const file = "/etc/foobar/db-server/notes/my.cnf"
	update := planned(plancheck.ExpectResourceAction(notes, plancheck.ResourceActionUpdate))
	byHand := func(_ string, seen *operation.Observation) {
		spec, ok := seen.Spec.(api.DBServer)
		if !ok {
			t.Errorf("what is observed is a %T", seen.Spec)
			return
		}
		spec.Settings = maps.Clone(spec.Settings)
		spec.Settings["max_connections"] = "50"
		seen.Spec = spec
	}
	run(t,
		testresource.TestStep{Config: config},
		testresource.TestStep{ // SET GLOBAL by hand
			PreConfig:    func() { m.DBServers.Set(agenttest.Hooks{Observe: byHand}) },
			RefreshState: true, ExpectNonEmptyPlan: true,
			Check: testresource.TestCheckResourceAttr(notes, "settings.max_connections", "50"),
		},
		testresource.TestStep{
			Config: config,
			ConfigPlanChecks: testresource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(notes, plancheck.ResourceActionUpdate),
				plancheck.ExpectKnownValue(notes, tfjsonpath.New("settings").AtMapKey("max_connections"), knownvalue.StringExact("200")),
				plancheck.ExpectKnownValue(notes, tfjsonpath.New("impact"), knownvalue.StringExact("runtime")),
				between(func() { m.DBServers.Set(agenttest.Hooks{}) }),
			}, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		testresource.TestStep{ // a file edited by hand
			PreConfig: func() { appendTo(t, m.Path(file)) },
			Config:    config, ConfigPlanChecks: update,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(notes, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
			},
		},
	)
}

func TestRebuiltMachineGetsItsDatabaseServerBack(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	settings := map[string]string{"max_connections": "200"}
	run(t,
		testresource.TestStep{Config: block(m) + machine(m.Address(), 1) + dbServer(settings)},
		testresource.TestStep{
			PreConfig: m.Rebuild,
			Config:    block(m) + machine(m.Address(), 2) + dbServer(settings),
			ConfigPlanChecks: planned(
				plancheck.ExpectResourceAction(notes, plancheck.ResourceActionUpdate),
			),
			Check: func(*terraform.State) error {
				if names, _ := leafOf(t, m); names == nil {
					t.Error("the rebuilt machine has no certificate for the server")
				}
				return nil
			},
		},
	)
}

func TestReaderPlansADatabaseServer(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	issued, err := m.Signer().Client(api.RoleReader, "ci", 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := fmt.Sprintf("provider \"foobar\" {\n  deployment = \"test\"\n  client_certificate = %q\n  client_key = %q\n}\n",
		issued.CertificatePEM()+pki.EncodeCertificate(m.Signer().Certificate()), issued.KeyPEM().Reveal())
	rest := machine(m.Address(), 1) + dbServer(map[string]string{"max_connections": "200"})
	changed := machine(m.Address(), 1) + dbServer(map[string]string{"max_connections": "300"})
	run(t,
		testresource.TestStep{Config: block(m) + rest},
		testresource.TestStep{Config: reader + rest, PlanOnly: true},
		testresource.TestStep{Config: reader + changed, PlanOnly: true, ExpectNonEmptyPlan: true},
		testresource.TestStep{Config: reader + changed, ExpectError: loosely(`it takes the CA seed, which this run does not have`)},
		testresource.TestStep{Config: block(m) + rest, PlanOnly: true},
	)
}
