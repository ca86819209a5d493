package provider_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	frameworkprovider "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
)

// root is the repository, seen from here.
const root = "../.."

// TestPages pastes what README, docs and examples show into empty directories,
// with the provider got in each of the ways that they name, and has Terraform
// validate it.
func TestPages(t *testing.T) {
	s := newShelf(t)
	first := read(t, root, "examples/stacks/first/main.tf")
	provider := read(t, root, "examples/provider/provider.tf")
	readme, index := codeBlocks(read(t, root, "README.md"), "hcl"), codeBlocks(read(t, root, "docs/index.md"), "terraform")
	if !slices.Contains(readme, first) || !slices.Contains(index, first) || !slices.Contains(index, provider) {
		t.Fatal("README.md and docs/index.md do not show examples/stacks/first/main.tf as it is, or docs/index.md not examples/provider; run make generate")
	}
	for i, block := range readme {
		t.Run(fmt.Sprintf("README %d", i), func(t *testing.T) { s.validate(t, pasted(t, block), fromMirror) })
	}
	for i, block := range index {
		t.Run(fmt.Sprintf("index %d", i), func(t *testing.T) { s.validate(t, pasted(t, block), fromOverride) })
	}
	for _, pattern := range []string{"resources/*/resource.tf", "data-sources/*/data-source.tf", "ephemeral-resources/*/ephemeral-resource.tf"} {
		examples, err := filepath.Glob(filepath.Join(root, "examples", pattern))
		if err != nil || len(examples) == 0 {
			t.Fatalf("there is no example %s: %v", pattern, err)
		}
		for _, example := range examples {
			t.Run(filepath.Base(filepath.Dir(example)), func(t *testing.T) {
				texts := []string{provider, read(t, example)}
				if strings.Contains(texts[1], "required_providers") {
					texts = texts[1:] // it has a block of its own
				}
				s.validate(t, pasted(t, texts...), fromOverride)
			})
		}
	}
	for _, pattern := range []string{"stacks/*", "modules/*"} {
		directories, err := filepath.Glob(filepath.Join(root, "examples", pattern))
		if err != nil || len(directories) == 0 {
			t.Fatalf("there is no %s: %v", pattern, err)
		}
		for _, directory := range directories {
			t.Run(pattern+" "+filepath.Base(directory), func(t *testing.T) {
				copied := t.TempDir() // with the modules beside it
				if err := os.CopyFS(filepath.Join(copied, "examples"), os.DirFS(filepath.Join(root, "examples"))); err != nil {
					t.Fatal(err)
				}
				name, err := filepath.Rel(root, directory)
				if err != nil {
					t.Fatal(err)
				}
				s.validate(t, filepath.Join(copied, name), fromMirror)
			})
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// codeBlocks returns the code blocks of a language on a page.
func codeBlocks(page, language string) []string {
	var found []string
	for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(page, -1) {
		found = append(found, match[1])
	}
	return found
}

// pasted returns a directory with a file for each text.
func pasted(t *testing.T, texts ...string) string {
	t.Helper()
	directory := t.TempDir()
	for i, text := range texts {
		if err := os.WriteFile(filepath.Join(directory, fmt.Sprintf("%d.tf", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// shelf is a host that has the provider in the two ways that need no registry.
type shelf struct {
	terraform string
	home      string // with the filesystem mirror of "make install"
	override  string // a CLI configuration with a development override
}

type way bool

const (
	fromMirror   way = false
	fromOverride way = true
)

func newShelf(t *testing.T) shelf {
	t.Helper()
	s := shelf{terraform: os.Getenv("TF_ACC_TERRAFORM_PATH"), home: t.TempDir()}
	if s.terraform == "" {
		found, err := exec.LookPath("terraform")
		if err != nil {
			t.Fatalf("the test needs Terraform (make unit brings it): %v", err)
		}
		s.terraform = found
	}
	mirror := filepath.Join(s.home, ".terraform.d/plugins/registry.terraform.io/foobar-stack/foobar/0.1.0", runtime.GOOS+"_"+runtime.GOARCH)
	built := filepath.Join(mirror, "terraform-provider-foobar_v0.1.0")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", built, ".")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v\n%s", err, output)
	}
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, program := range map[string]string{"foobar": built, "hcloud": self} {
		if err := os.Symlink(program, filepath.Join(bin, "terraform-provider-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	s.override = filepath.Join(bin, "terraformrc")
	config := fmt.Sprintf(`provider_installation {
  dev_overrides {
    "foobar-stack/foobar" = %[1]q
    "hetznercloud/hcloud" = %[1]q
  }
}
`, bin)
	if err := os.WriteFile(s.override, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// validate has Terraform initialise a directory, where that is due, and
// validate it.
func (s shelf) validate(t *testing.T, directory string, w way) {
	t.Helper()
	config := s.override
	if w == fromMirror {
		config = filepath.Join(s.home, "terraformrc") // an empty one
		if err := os.WriteFile(config, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s.run(t, directory, config, "init", "-backend=false", "-input=false")
	}
	s.run(t, directory, config, "validate", "-no-color")
}

func (s shelf) run(t *testing.T, directory, config string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), s.terraform, arguments...)
	command.Dir = directory
	command.Env = append(os.Environ(), "HOME="+s.home, "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_DATA_DIR=", "XDG_DATA_HOME=", "XDG_DATA_DIRS=")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("terraform %s: %v\n%s", arguments[0], err, output)
	}
}

// TestMain lets the test binary be the providers of others that examples use.
func TestMain(m *testing.M) {
	name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	if !ok {
		os.Exit(m.Run())
	}
	err := providerserver.Serve(context.Background(), func() frameworkprovider.Provider { return foreign(name) },
		providerserver.ServeOpts{Address: "registry.terraform.io/test/" + name, ProtocolVersion: 6})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// foreign is the part of another provider that the examples use.
type foreign string

func (f foreign) Metadata(_ context.Context, _ frameworkprovider.MetadataRequest, resp *frameworkprovider.MetadataResponse) {
	resp.TypeName = string(f)
}
func (foreign) Schema(context.Context, frameworkprovider.SchemaRequest, *frameworkprovider.SchemaResponse) {
}
func (foreign) Configure(context.Context, frameworkprovider.ConfigureRequest, *frameworkprovider.ConfigureResponse) {
}
func (foreign) DataSources(context.Context) []func() datasource.DataSource { return nil }
func (f foreign) Resources(context.Context) []func() resource.Resource {
	required := schema.StringAttribute{Required: true}
	known := map[foreign]foreignResource{
		"hcloud": {"hcloud_server", map[string]schema.Attribute{
			"name": required, "image": required, "server_type": required, "user_data": required,
			"ipv4_address": schema.StringAttribute{Computed: true},
		}},
	}
	return []func() resource.Resource{func() resource.Resource { return known[f] }}
}

type foreignResource struct {
	name       string
	attributes map[string]schema.Attribute
}

func (r foreignResource) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = r.name
}
func (r foreignResource) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: r.attributes}
}
func (foreignResource) Create(context.Context, resource.CreateRequest, *resource.CreateResponse) {}
func (foreignResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse)       {}
func (foreignResource) Update(context.Context, resource.UpdateRequest, *resource.UpdateResponse) {}
func (foreignResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
