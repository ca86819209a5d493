//go:build lab

package acceptance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab/labtest"
)

// exampleApp is an example of a sort of app.
type exampleApp struct {
	stack string // its configuration
	// artifacts are those of release 1 and 2, as tools/apps.sh packs them.
	artifacts [2]string
	asks      []ask
}

// What the example apps are asked.
var (
	readLedger  = ask{http.MethodGet, "/", http.StatusOK, "release %d\n"}
	writeLedger = ask{http.MethodPost, ledger, http.StatusCreated, "kept by release %d\n"}
	readSite    = ask{http.MethodGet, "/VERSION", http.StatusOK, "%d\n"}
)

// TestEachSortOfAppIsReleasedUnderLoad applies the example of each sort of app
// and releases it twice while requests come in. None fails, none is lost and none
// is done twice, and each answer is that of one of the two releases.
func TestEachSortOfAppIsReleasedUnderLoad(t *testing.T) {
	lab := labtest.New(t)
	lab.Reset("web1")
	for _, app := range []exampleApp{
		{"app-python", [2]string{"python.tar.gz", "python-2.tar.gz"}, []ask{readLedger, writeLedger}},
		{"app-virtualenv", [2]string{"virtualenv.tar.gz", "virtualenv-2.tar.gz"}, []ask{readLedger, writeLedger}},
		{"app-go-socket", [2]string{"go", "go-2"}, []ask{readLedger, writeLedger}},
		{"app-go-port", [2]string{"go", "go-2"}, []ask{readLedger, writeLedger}},
		{"app-site", [2]string{"site.tar.gz", "site-2.tar.gz"}, []ask{readSite}},
	} {
		t.Run(app.stack, func(t *testing.T) {
			w := app.workspace(t, lab)
			app.release(w, 1)
			c := startClients(t, "10.0.0.1:80", app.asks)
			app.release(w, 2)
			app.release(w, 1)
			c.stop()
			w.plan().empty()
			w.destroy() // the next app has the same port
		})
	}
}

// workspace returns the configuration, for the machine that the lab has.
func (a exampleApp) workspace(t *testing.T, lab *labtest.Lab) *workspace {
	t.Helper()
	directory := filepath.Join(t.TempDir(), a.stack)
	copyFiles(t, filepath.Join(examples, "stacks", a.stack), directory)
	file := filepath.Join(directory, "main.tf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const address, health = `address = "10.0.0.1"`, `{ path = "/healthz" }`
	edited := strings.NewReplacer(
		address, fmt.Sprintf("%s\nincarnation = %d", address, lab.Incarnation("web1")),
		health, `{ path = "/healthz", min_healthy_time = "1s" }`, // the default is 10s
	).Replace(string(text))
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	return newWorkspace(t, directory)
}

// release applies the configuration with a release, 1 or 2.
func (a exampleApp) release(w *workspace, number int) {
	w.t.Helper()
	artifact, err := filepath.Abs(filepath.Join("../../../bin/apps", a.artifacts[number-1]))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := os.Stat(artifact); err != nil {
		w.t.Fatalf("the release is not packed; run  make apps: %v", err)
	}
	w.env = append(w.env, "TF_VAR_release="+artifact)
	w.apply()
}
