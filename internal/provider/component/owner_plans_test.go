package component_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

func www() api.ID { return api.ID{Kind: api.KindLoadBalancer, Name: "www"} }

func TestTwinsAreRefused(t *testing.T) {
	twins := strings.NewReplacer(`  name      = "www"`, `  for_each  = toset(["blue", "green"])`+"\n"+`  name      = "www"`).Replace(balancer("www", "www", "80"))
	const server = `
resource "foobar_db_server" "notes" {
  for_each         = toset(["web1", "web2"])
  machine          = { name = each.key, address = "10.0.0.1" }
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}
`
	replication := func(label, primary string) string {
		return `
resource "foobar_db_replication" "` + label + `" {
  name      = "notes"
  primary   = "` + primary + `"
  members   = { for name in ["web1", "web2"] : name => { server = foobar_db_server.notes[name], address = "10.0.0.${substr(name, 3, 1)}" } }
  databases = { notes = {} }
}
`
	}
	for name, c := range map[string]struct {
		configuration string
		want          []string
	}{
		"for_each": {twins, []string{"Two resources are one", `both load-balancer/www on machine "lb1"`, "other keys of the same for_each", "foobar_load_balancer.www["}},
		"machines": {`
resource "foobar_machine" "vm" {
  count   = 2
  name    = "lb1"
  address = "10.0.0.10"
}
`, []string{"Two resources are one", `both machine "lb1"`}},
		"replications":                    {server + replication("one", "web1") + replication("two", "web1"), []string{"Two resources are one", "db-replication/notes on machine"}},
		"replications with two primaries": {server + replication("one", "web1") + replication("two", "web2"), []string{"Two resources are one", "db-replication/notes on machine"}},
	} {
		t.Run(name, func(t *testing.T) {
			newState(t, providertest.New("lb1", "web1", "web2"), c.configuration).fails("plan", c.want...)
		})
	}
}

func TestAnExistingResourceAndItsNewTwin(t *testing.T) {
	s := newState(t, providertest.New("lb1"), balancer("www", "www", "80"))
	s.does(apply)
	s.write(balancer("www", "www", "80") + balancer("copy", "www", "80"))
	s.fails("plan", "Two resources are one", `both load-balancer/www on machine "lb1"`)
}

func TestASecondStateTakesOverInPlainSight(t *testing.T) {
	machines := providertest.New("lb1")
	a, b := newState(t, machines, balancer("www", "www", "80")), newState(t, machines, balancer("site", "www", "80"))
	a.does(apply)
	first := machines["lb1"].Owner(www())

	a.silent(a.does("plan", nothing), "another")
	b.does("plan", "The create takes a component over", `load-balancer/www on machine "lb1" exists already: it was`, "last applied by terraform at 2026-01-02 03:04:05 UTC", "belongs to another resource since")
	if got := machines["lb1"].Owner(www()); got != first {
		t.Errorf("a plan made %s the owner", got)
	}
	b.does(apply)
	second := machines["lb1"].Owner(www())
	if second == first || second == "" {
		t.Errorf("the owner is %q, and was %q", second, first)
	}
	a.does("plan", nothing, "The component belongs to another state", "taken over by terraform at 2026-01-02")
	b.write(balancer("site", "www", "8080"))
	b.does(apply)
	a.does("plan", nothing, "The component belongs to another state") // though what is there is another now
	a.write(balancer("www", "www", "81"))
	a.fails("plan", "The component belongs to another state", `load-balancer/www on machine "lb1"`, "terraform state rm ADDRESS", "is the way to destroy the rest")
	a.fails(destroy, "terraform state rm ADDRESS")
	kept := filepath.Join(a.directory, "terraform.tfstate")
	before, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	a.does(destroy+" -refresh=false", "Forgotten, not removed")
	if err := os.WriteFile(kept, before, 0o600); err != nil {
		t.Fatal(err)
	}
	a.write(balancer("www", "www", "80"))
	a.does(destroy, "Forgotten, not removed")
	if got := machines["lb1"].Owner(www()); got != second {
		t.Errorf("after the former owner's destroy it belongs to %q, not %q", got, second)
	}
	b.silent(b.does("plan", nothing), "another")
	b.does(destroy)
	if got := machines["lb1"].Owner(www()); got != "" {
		t.Errorf("after the owner's destroy it belongs to %q", got)
	}
}

func TestALostStateIsAdopted(t *testing.T) {
	s := newState(t, providertest.New("lb1"), balancer("www", "www", "80"))
	s.does(apply)
	if err := os.Remove(filepath.Join(s.directory, "terraform.tfstate")); err != nil {
		t.Fatal(err)
	}
	s.does(apply, "The create takes a component over", "if the other state is lost")
	s.silent(s.does("plan", nothing), "another")
	s.silent(s.does(destroy), "Forgotten")
}

func TestAnImportTakesOver(t *testing.T) {
	for name, by := range map[string]func(*state){
		"command": func(s *state) {
			s.does("import foobar_load_balancer.www lb1@10.0.0.10/www", "The import takes the component over")
		},
		"block": func(s *state) {
			s.write(balancer("www", "www", "80") + "import {\n  to = foobar_load_balancer.www\n  id = \"lb1@10.0.0.10/www\"\n}\n")
			s.silent(s.does(apply, "The import takes the component over", `load-balancer/www on machine "lb1" was last applied`, "0 added, 0 changed, 0 destroyed"), "exists already")
		},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1")
			a, b := newState(t, machines, balancer("www", "www", "80")), newState(t, machines, balancer("www", "www", "80"))
			a.does(apply)
			by(b)
			b.does("plan", nothing)
			a.does("plan", nothing, "The component belongs to another state")
			a.does(destroy, "Forgotten, not removed")
			b.does(destroy)
			if got := machines["lb1"].Owner(www()); got != "" {
				t.Errorf("it still belongs to %q", got)
			}
		})
	}
}

// TestDriftIsTheOwnersToRepair: after an import the new state sees and repairs a
// drift. One that owned the component before, such as a backup that was put back,
// says whose it is, shows what it knew, and changes nothing.
func TestDriftIsTheOwnersToRepair(t *testing.T) {
	replicated := `
resource "foobar_db_server" "notes" {
  machine          = { name = "web1", address = "10.0.0.1" }
  name             = "notes"
  engine           = "mariadb"
  listen_addresses = ["10.0.0.1"]
}

resource "foobar_db_replication" "notes" {
  name      = "notes"
  primary   = "web1"
  members   = { web1 = { server = foobar_db_server.notes, address = "10.0.0.1" } }
  databases = { notes = {} }
}
`
	for name, c := range map[string]struct {
		configuration string
		id            api.ID
		imports       []string
	}{
		"load balancer": {balancer("www", "www", "80"), www(), []string{"foobar_load_balancer.www lb1@10.0.0.10/www"}},
		"replication": {replicated, api.ID{Kind: api.KindDBReplication, Name: "notes"}, []string{
			"foobar_db_server.notes web1@10.0.0.1/notes", "foobar_db_replication.notes web1@10.0.0.1/notes",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1", "web1")
			holder := machines["lb1"]
			if c.id != www() {
				holder = machines["web1"]
			}
			former, current := newState(t, machines, c.configuration), newState(t, machines, c.configuration)
			former.does(apply)
			for _, each := range c.imports {
				current.does("import " + each)
			}
			current.does("plan", nothing)
			holder.Change(t, c.id, func(c *api.Component) {
				c.Drift = map[string]api.Drift{"web1/Stopped": {Detail: "somebody stopped it"}}
			})
			former.silent(former.does("plan", nothing, "The component belongs to another state", "was taken over by"), "somebody stopped it")
			current.silent(current.does("plan", "somebody stopped it", "1 to change"), "another state")
			former.does(apply, nothing)
			current.does(apply, "1 changed")
			current.does("plan", nothing)
		})
	}
}

func TestAPlannedImportTakesNothing(t *testing.T) {
	machines := providertest.New("lb1")
	a, b := newState(t, machines, balancer("www", "www", "80")), newState(t, machines, balancer("www", "www", "80")+
		"import {\n  to = foobar_load_balancer.www\n  id = \"lb1@10.0.0.10/www\"\n}\n")
	a.does(apply)
	b.does("plan", "The import takes the component over")
	b.does("plan", "The import takes the component over")
	a.silent(a.does("plan", nothing), "another state")
}

// TestOwnershipGoesWithTheResource: whatever Terraform does with a resource in
// its state, it owns its component afterwards.
func TestOwnershipGoesWithTheResource(t *testing.T) {
	const module = "module \"site\" {\n  source = \"./site\"\n}\n"
	before := balancer("www", "www", "80")
	for name, change := range map[string]func(*state){
		"state mv": func(s *state) {
			s.does("state mv foobar_load_balancer.www foobar_load_balancer.site")
			s.write(balancer("site", "www", "80"))
		},
		"moved": func(s *state) {
			s.write(balancer("site", "www", "80") + "moved {\n  from = foobar_load_balancer.www\n  to = foobar_load_balancer.site\n}\n")
			s.does(apply)
		},
		"into a module": func(s *state) {
			if err := os.Mkdir(filepath.Join(s.directory, "site"), 0o700); err != nil {
				s.t.Fatal(err)
			}
			s.write(before)
			if err := os.Rename(filepath.Join(s.directory, "main.tf"), filepath.Join(s.directory, "site", "main.tf")); err != nil {
				s.t.Fatal(err)
			}
			s.write(module + "moved {\n  from = foobar_load_balancer.www\n  to = module.site.foobar_load_balancer.www\n}\n")
			s.does("get")
			s.does(apply)
		},
		"refresh": func(s *state) { s.does("apply -refresh-only -auto-approve") },
		"an update": func(s *state) {
			s.write(balancer("www", "www", "81"))
			s.does(apply)
		},
		"taint": func(s *state) {
			s.does("taint foobar_load_balancer.www")
			s.does(apply)
		},
		"-replace": func(s *state) { s.does(apply + " -replace=foobar_load_balancer.www") },
		"create_before_destroy": func(s *state) {
			s.write(balancer("www", "www", "80", "lifecycle {\n  create_before_destroy = true\n}"))
			s.does(apply + " -replace=foobar_load_balancer.www")
		},
		"untaint": func(s *state) {
			s.does("taint foobar_load_balancer.www")
			s.does("untaint foobar_load_balancer.www")
		},
	} {
		t.Run(name, func(t *testing.T) {
			machines := providertest.New("lb1")
			s := newState(t, machines, before)
			s.does(apply)
			change(s)
			said := s.does("plan", nothing)
			s.silent(said, "another state", "another Terraform state", "Two resources")
			if machines["lb1"].Owner(www()) == "" {
				t.Error("nobody owns it")
			}
			s.silent(s.does(destroy), "Forgotten")
			var spec api.LoadBalancer
			if machines["lb1"].Spec(t, www(), &spec) {
				t.Error("the destroy has left it in place")
			}
		})
	}
}
