package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/agenttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

func TestIdentityNeedsABootstrap(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	bootstrap, err := pki.NewBootstrap(m.Signer().Authority, "web1", 1, ":9443")
	if err != nil {
		t.Fatal(err)
	}
	whole := bootstrap.JSON()
	tests := map[string]struct {
		credential, file []byte
		mode             os.FileMode
		want             string // in the error; empty: opened
	}{
		"none":                         {nil, nil, 0, "there is none"},
		"a credential":                 {whole, nil, 0, ""},
		"a file":                       {nil, whole, 0o600, ""},
		"a file that others can read":  {nil, whole, 0o644, "others than root can read"},
		"a file that is cut off":       {nil, whole[:100], 0o600, "cut off"},
		"a credential leads":           {[]byte("{}"), whole, 0o600, "version"},
		"a file of another version":    {nil, []byte(`{"v":2}`), 0o600, "reads version 1"},
		"a file with nothing in it":    {nil, []byte{}, 0o600, "is empty"},
		"a credential that is no JSON": {[]byte("#cloud-config"), nil, 0, "is not JSON"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "bootstrap.json")
			write(t, filepath.Join(dir, api.BootstrapCredential), test.credential, 0o400)
			write(t, file, test.file, test.mode)
			id, err := openIdentity(dir, file, filepath.Join(dir, "identity"), hclog.NewNullLogger())
			if test.want == "" {
				if err != nil || id.Facts().Node != "web1" || id.Facts().Enrolled {
					t.Errorf("%v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want one line with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), bootstrap.EnrollKey.Reveal()) {
				t.Error("the reason shows the enrolment key")
			}
		})
	}
}

// write writes a file, unless there is to be none.
func write(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if data == nil {
		return
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

func TestEnrolledMachineDoesWithoutABootstrap(t *testing.T) {
	m := agenttest.Start(t, agenttest.Config{})
	m.Enroll()
	m.Stop()
	file := filepath.Join(t.TempDir(), "bootstrap.json")
	for name, text := range map[string][]byte{"none": nil, "a bad one": []byte("{")} {
		t.Run(name, func(t *testing.T) {
			write(t, file, text, 0o600)
			id, err := openIdentity("", file, m.Path("/var/lib/foobar/identity"), hclog.NewNullLogger())
			if err != nil || !id.Facts().Enrolled {
				t.Errorf("%v", err)
			}
		})
	}
}
