package provider_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tfjson "github.com/hashicorp/terraform-json"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/providertest"
)

// arrow marks, in a configuration, the line of each error; noLine what leads to
// an error for which Terraform shows no line.
const (
	arrow  = "<-"
	noLine = "no line"
)

// TestWrongConfigurationsShowTheirLines has the real Terraform validate a
// module that is wrong in many ways. Each error is shown at the line with the
// arrow, and nothing else is said. The golden file is what a user reads.
func TestWrongConfigurationsShowTheirLines(t *testing.T) {
	quiet(t)
	const module = "testdata/wrong/validate"
	cli := providertest.NewCLI(t, module, func() tfprotov6.ProviderServer { return server(t) })
	var output tfjson.ValidateOutput
	if err := json.Unmarshal(cli.Run(t, "validate", "-json"), &output); err != nil {
		t.Fatal(err)
	}
	compare(t, module, output.Diagnostics)
	golden.Compare(t, "wrong/validate.txt", printed(output.Diagnostics))
}

// TestWrongPlansShowTheirLines is the same for what only a plan finds: on this
// side, and on the machines.
func TestWrongPlansShowTheirLines(t *testing.T) {
	quiet(t)
	const module = "testdata/wrong/plan"
	machines := providertest.New("web1", "web2")
	machines["web2"].Refuse(func(api.ID, api.Write) error {
		return &api.Problem{
			Type: api.ProblemEngineRefused, Title: "The engine refuses the configuration",
			Violations: api.Violations{{Pointer: "/backends/web/health_check/body_pattern", Detail: "regex '(ok' is invalid: missing closing parenthesis"}},
		}
	})
	offered := provider.New("test")()
	make := machines.Factories(offered.Resources(t.Context()))["foobar"]
	cli := providertest.NewCLI(t, module, func() tfprotov6.ProviderServer {
		s, err := make()
		if err != nil {
			t.Error(err)
		}
		return s
	})
	var diagnostics []tfjson.Diagnostic
	for line := range bytes.Lines(cli.Run(t, "plan", "-json", "-lock=false")) {
		var message struct {
			Diagnostic *tfjson.Diagnostic `json:"diagnostic"`
		}
		if err := json.Unmarshal(line, &message); err != nil {
			t.Fatal(err)
		}
		if message.Diagnostic != nil {
			diagnostics = append(diagnostics, *message.Diagnostic)
		}
	}
	compare(t, module, diagnostics)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "wrong/plan.txt", strings.ReplaceAll(printed(diagnostics), here, "/here"))
}

// quiet keeps the framework from writing what it does.
func quiet(t *testing.T) {
	t.Helper()
	for _, name := range []string{"TF_LOG_SDK", "TF_LOG_SDK_FRAMEWORK", "TF_LOG_SDK_PROTO"} {
		t.Setenv(name, "off")
	}
	t.Setenv("FOOBAR_CA_SEED", "")
}

// compare fails the test for each line with an arrow that has no error, and
// for each error without an arrow.
func compare(t *testing.T, module string, diagnostics []tfjson.Diagnostic) {
	t.Helper()
	want := arrows(t, module)
	for _, d := range diagnostics {
		at := noLine
		if d.Range != nil {
			at = fmt.Sprintf("%s:%d", d.Range.Filename, d.Range.Start.Line)
		}
		if want[at]--; want[at] < 0 {
			t.Errorf("%s shows %s: %s: %s", at, d.Severity, d.Summary, d.Detail)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(want)) {
		if want[at] > 0 {
			t.Errorf("%s shows nothing", at)
		}
	}
}

// arrows counts the arrows by line.
func arrows(t *testing.T, module string) map[string]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(module, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]int{}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(content))
		for n := 1; lines.Scan(); n++ {
			if found := strings.Count(lines.Text(), arrow); found > 0 {
				all[fmt.Sprintf("%s:%d", filepath.Base(name), n)] = found
			}
			all[noLine] += strings.Count(lines.Text(), "# "+noLine)
		}
	}
	return all
}

// printed returns diagnostics as Terraform prints them, in the order of the files.
func printed(diagnostics []tfjson.Diagnostic) string {
	all := make([]string, 0, len(diagnostics))
	slices.SortStableFunc(diagnostics, func(a, b tfjson.Diagnostic) int { return strings.Compare(place(a), place(b)) })
	for _, d := range diagnostics {
		var text strings.Builder
		fmt.Fprintf(&text, "%s: %s\n\n", strings.ToUpper(string(d.Severity[:1]))+string(d.Severity[1:]), d.Summary)
		if d.Snippet != nil && d.Range != nil {
			if d.Snippet.Context != nil {
				fmt.Fprintf(&text, "  on %s line %d, in %s:\n", d.Range.Filename, d.Snippet.StartLine, *d.Snippet.Context)
			} else {
				fmt.Fprintf(&text, "  on %s line %d:\n", d.Range.Filename, d.Snippet.StartLine)
			}
			for i, line := range strings.Split(d.Snippet.Code, "\n") {
				fmt.Fprintf(&text, "  %d: %s\n", d.Snippet.StartLine+i, unmarked(line))
			}
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%s\n", d.Detail)
		all = append(all, text.String())
	}
	return strings.Join(all, "\n"+strings.Repeat("-", 72)+"\n\n")
}

// unmarked takes the arrows out of a line.
func unmarked(line string) string {
	line, _, _ = strings.Cut(line, "# "+arrow)
	return strings.TrimRight(line, " ")
}

func place(d tfjson.Diagnostic) string {
	if d.Range == nil {
		return d.Detail
	}
	return fmt.Sprintf("%s %04d %s", d.Range.Filename, d.Range.Start.Line, d.Detail)
}
