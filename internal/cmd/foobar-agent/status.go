package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// machineStatus is all that "status" shows.
type machineStatus struct {
	// Machine has only what [api.Health] holds while the machine is not enrolled.
	Machine    api.Info        `json:"machine"`
	Components []api.Component `json:"components"`
}

func showStatus(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	s, err := readStatus(ctx, newLocal(socketPath))
	if err != nil {
		return err
	}
	if *asJSON {
		text, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return err
		}
		_, err = io.WriteString(out, jsonVisible(string(text))+"\n")
		return err
	}
	_, err = io.WriteString(out, s.String())
	return err
}

// jsonVisible writes what a terminal would obey as JSON's own escapes. The
// encoder does so for the oldest control characters only.
func jsonVisible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func readStatus(ctx context.Context, agent local) (machineStatus, error) {
	s := machineStatus{Components: []api.Component{}}
	if err := agent.get(ctx, "/v1/health", &s.Machine.Health); err != nil || !s.Machine.Enrolled {
		return s, err
	}
	if err := agent.get(ctx, "/v1/info", &s.Machine); err != nil {
		return s, err
	}
	var listing api.Listing
	if err := agent.get(ctx, "/v1/components", &listing); err != nil {
		return s, err
	}
	for _, listed := range listing.Components {
		var component api.Component
		err := agent.get(ctx, "/v1/"+listed.String(), &component)
		if api.IsProblem(err, api.ProblemNotFound) {
			continue // removed in the meantime
		}
		if err != nil { // it says so of this one, and the others are shown
			component = api.Component{ID: listed.ID, Generation: listed.Generation, AppliedAt: listed.AppliedAt, Actor: listed.Actor}
			component.Conditions = []api.Condition{unreadable(err)}
		}
		s.Components = append(s.Components, component)
	}
	return s, nil
}

// unreadable says why a component cannot be shown.
func unreadable(err error) api.Condition {
	if api.IsProblem(err, api.ProblemCreating) || api.IsProblem(err, api.ProblemDeleting) {
		return api.Condition{Type: "OperationRunning", Severity: api.SeverityInfo, Message: err.Error()}
	}
	return api.Condition{Type: "Unreadable", Severity: api.SeverityError, Message: err.Error()}
}

// String shows the status to a person: a line for each component, and below
// what is worth a look.
func (s machineStatus) String() string {
	var b strings.Builder
	m := s.Machine
	if !m.Enrolled {
		fmt.Fprintf(&b, "%s, incarnation %d: not enrolled. Apply its foobar_machine with Terraform. "+
			"If that is refused because the machine was enrolled before, its identity is lost: raise its incarnation and run foobar-agent identity reset --bootstrap FILE.\n", m.Node, m.Incarnation)
		conditions(&b, "", m.Conditions)
		return b.String()
	}
	fmt.Fprintf(&b, "%s of deployment %s, incarnation %d, certificate until %s\n", m.Node, m.Deployment, m.Incarnation, m.CertificateExpires.UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "agent %s, image %s, booted %s\n", m.Version, api.Visible(orNone(m.ImageID)), clock(m.BootedAt))
	for _, ca := range m.TrustedCAs {
		fmt.Fprintf(&b, "trusts CA %s until %s (%s)\n", ca.Pin, ca.Expires.UTC().Format(time.DateOnly), api.Visible(ca.Name))
	}
	conditions(&b, "", m.Conditions)
	b.WriteByte('\n')
	if len(s.Components) == 0 {
		b.WriteString("No components.\n")
		return b.String()
	}
	s.table(&b)
	for _, c := range s.Components {
		details(&b, c)
	}
	return b.String()
}

func (s machineStatus) table(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "COMPONENT\tGENERATION\tAPPLIED\tBY\tSTATE")
	for _, c := range s.Components {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.ID, generation(c.Generation), clock(c.AppliedAt), api.Visible(cmp.Or(c.Actor, unknown)), state(c))
	}
	_ = w.Flush() // writes to memory
}

// state sums a component up in a few words: the worst of its conditions, and
// whether it drifted.
func state(c api.Component) string {
	var words []string
	for _, severity := range []api.Severity{api.SeverityError, api.SeverityWarning} {
		if slices.ContainsFunc(c.Conditions, func(x api.Condition) bool { return x.Severity == severity }) {
			words = append(words, string(severity))
			break
		}
	}
	if len(c.Drift) > 0 || len(changed(c)) > 0 {
		words = append(words, "drift")
	}
	if words == nil {
		return "ok"
	}
	return strings.Join(words, ", ")
}

// running tells which release an app server runs, and in which slot; nothing of
// another component, or where no release runs.
func running(c api.Component) string {
	var status api.AppServerStatus
	if c.Kind != api.KindAppServer || json.Unmarshal(c.Status, &status) != nil || status.Release == "" {
		return ""
	}
	return fmt.Sprintf("release %.12s in slot %s", status.Release, status.Slot)
}

// details lists what an app server runs, and what is not as it should be with a
// component.
func details(b *strings.Builder, c api.Component) {
	var text strings.Builder
	if runs := running(c); runs != "" {
		fmt.Fprintf(&text, "  %-8s %s\n", "runs", api.Visible(runs))
	}
	if f := c.Failed; f != nil {
		fmt.Fprintf(&text, "  failed   the last change, operation %s of %s, at %s: %s\n", api.Visible(f.Operation), api.Visible(f.Actor), clock(f.At), api.Visible(f.Error))
	}
	for _, path := range slices.Sorted(maps.Keys(c.Drift)) {
		fmt.Fprintf(&text, "  drift    %s: %s\n", api.Visible(path), api.Visible(c.Drift[path].Detail))
	}
	for _, difference := range changed(c) {
		fmt.Fprintf(&text, "  drift    %s\n", api.Visible(difference))
	}
	conditions(&text, "  ", c.Conditions)
	if text.Len() > 0 {
		fmt.Fprintf(b, "\n%s\n%s", c.ID, text.String())
	}
}

func conditions(b *strings.Builder, indent string, list []api.Condition) {
	for _, c := range list {
		fmt.Fprintf(b, "%s%-8s %s: %s\n", indent, c.Severity, c.Type, api.Visible(c.Message))
	}
}

// changed tells which values the running engine has differently from the spec.
func changed(c api.Component) []string {
	var spec, observed any
	if json.Unmarshal(c.Spec, &spec) != nil || json.Unmarshal(c.Observed, &observed) != nil {
		return nil
	}
	return differences("", spec, observed)
}

// differences walks two JSON values and describes each place where they differ.
func differences(at api.Pointer, want, got any) []string {
	wanted, isObject := want.(map[string]any)
	found, bothObjects := got.(map[string]any)
	if !isObject || !bothObjects {
		before, now := shown(want), shown(got)
		if before == now {
			return nil
		}
		return []string{fmt.Sprintf("%s: is %s, applied was %s", at, now, before)}
	}
	names := maps.Clone(wanted)
	maps.Copy(names, found)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, differences(at.At(name), wanted[name], found[name])...)
	}
	return all
}

func shown(value any) string {
	if value == nil {
		return "nothing"
	}
	return string(api.Encode(value))
}

// unknown stands for what a damaged record does not say.
const unknown = "unknown"

func clock(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func generation(n int64) string {
	if n == 0 { // they begin with 1
		return unknown
	}
	return strconv.FormatInt(n, 10)
}

func orNone(text string) string {
	if text == "" {
		return "unnamed"
	}
	return text
}
