package dbreplication

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func TestPreviewWritesNothing(t *testing.T) {
	r := newRack(t, "web1", "web2", "web3", "lb1")
	spec, wider := r.spec("web2"), r.spec("web2", "web3")
	wider.Databases["more"] = api.DBDatabase{}
	show := func(from *api.DBReplication, to api.DBReplication) string {
		t.Helper()
		before := r.disk()
		change := converge.Change{Name: "notes", To: version(t, to)}
		if from != nil {
			change.From = version(t, *from)
		}
		r.asked()
		plan, err := r.kind("web1").Preview(t.Context(), "notes", change)
		if err != nil {
			t.Fatal(err)
		}
		if made := r.asked("PUT", "POST", "DELETE"); len(made) > 0 || r.disk() != before {
			t.Errorf("a preview made the calls %q, and the disk\n%s\nof\n%s", made, r.disk(), before)
		}
		var lines []string
		for _, c := range plan.Conditions {
			lines = append(lines, fmt.Sprintf("%s %s %s: %s\n", c.Severity, c.Type, c.Pointer, c.Message))
		}
		return strings.Join(lines, "")
	}
	text := "before anything:\n" + show(nil, spec)
	r.must(nil, &spec)
	text += "of what is well:\n" + show(&spec, spec)
	text += "of a member that is not configured:\n" + show(&spec, wider)
	r.enlist(wider)
	if err := r.machines["web3"].node.SetConfig(t.Context(), "notes", api.DBConfig{Spec: wider}); err != nil {
		t.Fatal(err)
	}
	text += "of a member that was:\n" + show(&spec, wider)
	r.machines["web2"].stopped = true
	text += "of a drift:\n" + show(&spec, spec)
	r.machines["web2"].stopped = false
	if err := r.machines["web1"].node.SetConfig(t.Context(), "notes", api.DBConfig{Spec: wider}); err != nil {
		t.Fatal(err)
	}
	r.cut("web3", true)
	text += "of a member that is configured and does not answer:\n" + show(&spec, wider)
	r.cut("web3", false)
	if err := r.machines["web3"].node.Leave(t.Context(), "notes"); err != nil {
		t.Fatal(err)
	}
	text += "of a member that is configured and has left, as after a destroy:\n" + show(nil, wider)
	golden.Compare(t, "preview.golden", noTimes(text))
}

// noTimes replaces the times in a text.
func noTimes(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if _, err := time.Parse(time.RFC3339, word); err == nil {
			words[i] = "TIME"
		}
	}
	return strings.Join(words, " ")
}

// disk describes all files of the rack.
func (r *rack) disk() string {
	r.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(r.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s: %s\n", path, content)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

func TestImpact(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	limits := spec
	limits.MaxLag, limits.LagHold, limits.MinBinlogRetention = 1, 2, 3
	limits.Reseed, limits.Drop = &api.DBReseed{Node: "web2", Token: "a"}, &api.DBDrop{Token: "a"}
	dropping, again := limits, limits
	dropping.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "b"}
	again.Drop = &api.DBDrop{Databases: []string{"old"}, Token: "a"}
	other := r.spec()
	for name, test := range map[string]struct {
		from, to *api.DBReplication
		want     api.Impact
	}{
		"a creation":            {nil, &spec, api.ImpactNone},
		"a deletion":            {&spec, nil, api.ImpactRuntime},
		"limits and consents":   {&spec, &limits, api.ImpactNone},
		"a new consent to drop": {&limits, &dropping, api.ImpactRuntime},
		"the first":             {&spec, &dropping, api.ImpactRuntime},
		"one that was used":     {&limits, &again, api.ImpactNone},
		"it is taken back":      {&dropping, &spec, api.ImpactNone},
		"a member less":         {&spec, &other, api.ImpactRuntime},
		"a drift, to be mended": {&spec, &spec, api.ImpactRuntime},
	} {
		change := converge.Change{Name: "notes"}
		if test.from != nil {
			change.From = &converge.Version{Spec: *test.from}
		}
		if test.to != nil {
			change.To = &converge.Version{Spec: *test.to}
		}
		if got := (&Kind{}).Impact(change); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestRender(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	state := version(t, r.spec("web2")).State
	var b strings.Builder
	for _, f := range state.Files {
		fmt.Fprintf(&b, "%s %o secret=%v\n%s\n", f.Path, f.Mode, f.Secret, f.Content)
	}
	golden.Compare(t, "render.golden", b.String())

	spec := r.spec("web2")
	k := &Kind{}
	again, err := k.Validate(api.Encode(spec))
	if err != nil || string(api.Encode(again)) != string(api.Encode(spec)) {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := k.Validate([]byte(`{"x":1}`)); !api.IsProblem(err, api.ProblemInvalid) {
		t.Errorf("an unknown member: %v", err)
	}
	spec.Primary = "web9"
	_, err = k.Validate(api.Encode(spec))
	wantProblem(t, err, "/primary")
	none, err := k.Render("notes", r.spec("web2"), nil, converge.InPlace{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = passwordsOf("notes", r.spec("web2"), none)
	wantProblem(t, err, "/users/app", "no password")
	if err := r.kind("web2").Check(t.Context(), converge.NewStaged("notes", *version(t, r.spec("web2")), nil)); err == nil {
		t.Error("a machine that is not the primary's takes it")
	}
}

func TestTopology(t *testing.T) {
	r := newRack(t, "web1", "web2", "lb1")
	spec := r.spec("web2")
	spec.Reseed = &api.DBReseed{Node: "web2", Token: "a"}
	raw, err := json.MarshalIndent(topologyOf("notes", "shop", spec), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "topology.golden", string(raw)+"\n")
	hash := topologyOf("notes", "shop", spec).Hash()
	spec.Reseed = nil
	if topologyOf("notes", "shop", spec).Hash() != hash {
		t.Error("a consent is part of the topology")
	}
}

// Which names there are, the server is asked: another release has others.
func TestCheckAsksTheServerForNames(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	check := func(charset string) error {
		spec.Databases = map[string]api.DBDatabase{"shop": {Charset: charset}, "notes": {}}
		return r.kind("web1").Check(t.Context(), converge.NewStaged("notes", *version(t, spec), nil))
	}
	if err := check("utf8mb4"); err != nil {
		t.Errorf("a name that the server knows: %v", err)
	}
	problem := api.AsProblem(check("utf7"))
	if problem == nil || len(problem.Violations) != 1 || problem.Violations[0].Pointer != "/databases/shop/charset" ||
		!strings.Contains(problem.Violations[0].Detail, "MariaDB 11.8.9 does not know this charset; the nearest that it knows are utf8mb4") {
		t.Errorf("one that it does not: %v", problem)
	}
	spec.Databases = map[string]api.DBDatabase{"shop": {Charset: "utf7", Collation: "zork"}, "notes": {Charset: "utf7", Collation: "zork"}}
	for range 20 { // in one order, which no map has
		var got []api.Pointer
		for _, v := range api.AsProblem(r.kind("web1").Check(t.Context(), converge.NewStaged("notes", *version(t, spec), nil))).Violations {
			got = append(got, v.Pointer)
		}
		if want := []api.Pointer{"/databases/notes/charset", "/databases/notes/collation", "/databases/shop/charset", "/databases/shop/collation"}; !slices.Equal(got, want) {
			t.Fatalf("the errors come as %v, want %v", got, want)
		}
	}
	r.machines["web1"].silent = true
	if err := check("utf7"); err != nil {
		t.Errorf("a server that is still to be made: %v", err)
	}
}
