package component_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// TestTheExamplesOfDataSources applies each page's example to machines on which
// there is nothing, and plans it again while these do not answer.
func TestTheExamplesOfDataSources(t *testing.T) {
	examples, err := filepath.Glob("../../../examples/data-sources/*/data-source.tf")
	if err != nil || len(examples) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	for _, example := range examples {
		t.Run(filepath.Base(filepath.Dir(example)), func(t *testing.T) {
			text, err := os.ReadFile(example) //nolint:gosec // of this repository
			if err != nil {
				t.Fatal(err)
			}
			machines := providertest.New("lb1", "web1")
			s := newState(t, machines, strings.ReplaceAll(string(text), "${path.module}/build/shop-1.4.0.tar.gz", archive(t)))
			s.does(apply)
			for name, m := range machines {
				m.Fail(&client.Unreachable{Machine: name, Address: "10.0.0.1:9443", Err: os.ErrDeadlineExceeded})
			}
			s.silent(s.does("plan", "is unreachable"), "must not be null", "Error")
		})
	}
}

// TestADataSourceNamesItsResource where what it looks for is not there yet.
func TestADataSourceNamesItsResource(t *testing.T) {
	for _, kind := range []string{"foobar_load_balancer", "foobar_db_server"} {
		s := newState(t, providertest.New("lb1"), `
data "`+kind+`" "none" {
  machine = { name = "lb1", address = "10.0.0.10" }
  name    = "none"
}
`)
		s.fails("plan", `Not found on machine "lb1"`, "as in name = "+kind+".<label>.name")
	}
}
