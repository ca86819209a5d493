package appserver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact/artifacttest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// A file may change between the plan, which checks it, and the upload: the
// checksum that was planned decides.
func TestUploadOfAChangedFile(t *testing.T) {
	at := time.Unix(1700000000, 0)
	path := filepath.Join(t.TempDir(), "shop.tar.gz")
	put := func(text string, at time.Time) error {
		content := artifacttest.Pack(artifacttest.File("f", text))
		return errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, at, at))
	}
	for name, c := range map[string]struct {
		change func() error
		want   string // "" is an upload
		has    bool
	}{
		"unchanged":                         {func() error { return nil }, "", true},
		"missing":                           {func() error { return os.Remove(path) }, "", false}, // the machine says whether it has it
		"changed":                           {func() error { return put("two", at.Add(time.Second)) }, "was changed since the plan", false},
		"changed without another time":      {func() error { return put("two", at) }, "was changed since the plan", false},
		"another one that is broken":        {func() error { return os.WriteFile(path, nil, 0o600) }, "was changed since the plan", false},
		"replaced by a directory meanwhile": {func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "is a directory, not a file", false},
	} {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(path) //nolint:errcheck // in a temporary directory
			if err := put("one", at); err != nil {
				t.Fatal(err)
			}
			machines := providertest.New("web1")
			data := &tfutil.Data{Agents: machines}
			planned, err := data.Artifacts.Open(t.Context(), path, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(planned.Close(), c.change()); err != nil {
				t.Fatal(err)
			}
			var m model
			m.Machine.Name, m.Machine.Address = types.StringValue("web1"), types.StringValue("10.0.0.1")
			m.Release = release{Source: new(path), SHA256: new(planned.SHA256), MaxBytes: new(int64(1 << 20))}
			_, err = upload(t.Context(), data, m, m)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("it ends with %v, want %q", err, c.want)
			}
			if machines["web1"].Has(planned.SHA256) != c.has {
				t.Errorf("the machine has it: %v", !c.has)
			}
		})
	}
}

func TestRefusedUploadIsShownAtTheSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.tar.gz")
	if err := os.WriteFile(path, artifacttest.Pack(artifacttest.File("f", "x")), 0o600); err != nil {
		t.Fatal(err)
	}
	machines := providertest.New("web1")
	data := &tfutil.Data{Agents: machines}
	file, err := data.Artifacts.Open(t.Context(), path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	machines["web1"].Fail(&api.Problem{Type: api.ProblemQuota, Title: "There is no room for the upload", Detail: "9 more bytes are needed"})
	var m model
	m.Machine.Name, m.Machine.Address = types.StringValue("web1"), types.StringValue("10.0.0.1")
	m.Release = release{Source: new(path), SHA256: new(file.SHA256), MaxBytes: new(int64(1 << 20))}
	_, err = upload(t.Context(), data, m, m)
	problem, ok := errors.AsType[*api.Problem](err)
	want := api.Violation{Pointer: "/release/source", Detail: "9 more bytes are needed"}
	if !ok || problem.Detail != "" || len(problem.Violations) != 1 || problem.Violations[0] != want {
		t.Errorf("it ends with %v, want it at %s", err, want.Pointer)
	}
}
