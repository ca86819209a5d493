package dbserver

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// foresees returns the impact that a dry run of a change shows.
func (f *fake) foresees(change converge.Change) api.Impact {
	f.t.Helper()
	impact := f.Impact(change)
	if previewer, ok := any(f.Kind).(operation.Previewer); ok {
		plan, err := previewer.Preview(f.t.Context(), "main", change)
		if err != nil {
			f.t.Fatal(err)
		}
		if slices.Index(api.Impacts(), plan.Impact) > slices.Index(api.Impacts(), impact) {
			return plan.Impact
		}
	}
	return impact
}

func TestApply(t *testing.T) {
	p := PathsOf("main")
	port := plain()
	port.Port = 3307
	clients := plain()
	clients.AllowedClients = []string{"10.0.0.7/32"}
	for name, test := range map[string]struct {
		from, to api.DBServer
		edit     func(*fake, *converge.Change)
		impact   api.Impact
		want     string
	}{
		"the same":                                   {from: plain(), to: plain(), impact: api.ImpactNone},
		"the same, spelt otherwise":                  {from: set("innodb_buffer_pool_size", "256M"), to: set("innodb_buffer_pool_size", "268435456"), impact: api.ImpactNone},
		"a setting for a running server":             {from: plain(), to: set("max_connections", "200"), impact: api.ImpactRuntime, want: "set max_connections = 200"},
		"a word is quoted":                           {from: plain(), to: set("sql_mode", "NO_ZERO_DATE"), impact: api.ImpactRuntime, want: "set sql_mode = 'NO_ZERO_DATE'"},
		"a setting taken away":                       {from: set("max_connections", "200"), to: plain(), impact: api.ImpactRuntime, want: "set max_connections = DEFAULT"},
		"an agent's default comes back":              {from: set("max_binlog_total_size", "1G"), to: plain(), impact: api.ImpactRuntime, want: "set max_binlog_total_size = 8589934592"},
		"a setting for a start":                      {from: plain(), to: set("innodb_buffer_pool_size", "256M"), impact: api.ImpactRestart, want: "restart; start"},
		"one whose default is worked out at a start": {from: set("innodb_io_capacity_max", "4000"), to: plain(), impact: api.ImpactRestart, want: "restart; start"},
		"the like by hand, as the engine's default": {from: plain(), to: plain(), impact: api.ImpactNone, want: "restart; start", edit: func(f *fake, _ *converge.Change) {
			f.variables["innodb_io_capacity_max"] = shown{"4294967295", "4294967295", "SQL"}
		}},
		"another port":  {from: plain(), to: port, impact: api.ImpactRestart, want: "restart; start"},
		"other clients": {from: plain(), to: clients, impact: api.ImpactRuntime, want: "reload"},
		"a stopped server": {from: plain(), to: plain(), impact: api.ImpactNone, want: "start", edit: func(f *fake, _ *converge.Change) {
			f.active = false
		}},
		"the configuration edited, and nobody restarted": {from: plain(), to: plain(), impact: api.ImpactRestart, edit: func(_ *fake, c *converge.Change) {
			c.Paths[p.Config], c.Edited[p.Config] = api.ChangeUpdate, true
		}},
		"a server that runs with an edited configuration": {from: plain(), to: plain(), impact: api.ImpactRestart, want: "restart; start", edit: func(f *fake, c *converge.Change) {
			c.Paths[p.Config], c.Edited[p.Config] = api.ChangeUpdate, true
			f.variables["back_log"] = shown{"7", "80", "CONFIG"}
		}},
		"the unit edited": {from: plain(), to: plain(), impact: api.ImpactRestart, want: "restart; start", edit: func(_ *fake, c *converge.Change) {
			c.Paths[p.UnitFile], c.Edited[p.UnitFile] = api.ChangeUpdate, true
		}},
		"the unit amended": {from: plain(), to: plain(), impact: api.ImpactRestart, want: "restart; start", edit: func(_ *fake, c *converge.Change) {
			c.Paths["/etc/systemd/system/foobar-db-main.service.d/override.conf"] = api.ChangeDelete
		}},
		"a setting by hand": {from: plain(), to: plain(), impact: api.ImpactNone, want: "set wait_timeout = DEFAULT", edit: func(f *fake, _ *converge.Change) {
			f.variables["wait_timeout"] = shown{"5", "28800", "SQL"}
		}},
		"durability by hand": {from: plain(), to: plain(), impact: api.ImpactNone, want: "set sync_binlog = 1", edit: func(f *fake, _ *converge.Change) {
			f.variables["sync_binlog"] = shown{"0", "0", "SQL"}
		}},
		"a flushed packet filter": {from: plain(), to: plain(), impact: api.ImpactNone, want: "reload", edit: func(f *fake, _ *converge.Change) {
			f.loaded = ""
		}},
		"a new certificate": {from: plain(), to: plain(), impact: api.ImpactNone, want: "reload", edit: func(f *fake, _ *converge.Change) {
			f.sign("second")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, test.from)
			change := changeOf(t, test.from, test.to)
			if test.edit != nil {
				test.edit(f, &change)
			}
			if got := f.Impact(change); got != test.impact {
				t.Errorf("the impact is %s, want %s", got, test.impact)
			}
			restarted := strings.Contains(test.want, "start")
			foreseen := test.impact
			switch {
			case restarted:
				foreseen = api.ImpactRestart
			case test.want != "":
				foreseen = api.ImpactRuntime
			}
			if got := f.foresees(change); got != foreseen {
				t.Errorf("a plan says %s, and an apply does %q", got, test.want)
			}
			if err := f.apply(change); err != nil {
				t.Fatal(err)
			}
			if got := f.took(); got != test.want {
				t.Errorf("it took %q, want %q", got, test.want)
			}
			if fenced := f.variables["read_only"].value == "ON"; fenced != restarted {
				t.Errorf("fenced is %v", fenced)
			}
			seen, err := f.Observe(t.Context(), "main", *change.To)
			if err != nil || string(api.Encode(seen.Spec)) != string(api.Encode(test.to)) || len(seen.Drift) > 0 {
				t.Errorf("afterwards it is %s with drift %v, %v", api.Encode(seen.Spec), seen.Drift, err)
			}
		})
	}
}

func TestApplyMakesADatabaseOnce(t *testing.T) {
	f := newFake(t, plain())
	f.active = false
	create := converge.Change{Name: "main", To: version(t, plain())}
	if err := f.apply(create); err != nil || f.took() != "start" {
		t.Errorf("with data of an earlier life: %v", err)
	}
	if err := os.RemoveAll(f.root + PathsOf("main").Data); err != nil {
		t.Fatal(err)
	}
	f.active = false
	if err := f.apply(changeOf(t, plain(), plain())); !api.IsProblem(err, api.ProblemEngineRefused) || f.took() != "" {
		t.Errorf("an update whose data is gone: %v", err)
	}
	if err := f.apply(create); err != nil || f.took() != "initialise; start" {
		t.Errorf("without data: %v", err)
	}
	if err := f.Apply(t.Context(), converge.Change{Name: "main", From: version(t, plain())}, ignore); err != nil || f.took() != "" {
		t.Errorf("a deletion: %v", err)
	}
}

func TestApplyNeedsALeaf(t *testing.T) {
	f := newFake(t, plain())
	if err := os.Remove(f.LeafDir("db-server.main") + "/cert.pem"); err != nil {
		t.Fatal(err)
	}
	err := f.apply(changeOf(t, plain(), set("max_connections", "99")))
	if !api.IsProblem(err, api.ProblemEngineRefused) || !strings.Contains(err.Error(), `service "db-server.main"`) {
		t.Errorf("got %v", err)
	}
}

func TestApplyTellsWhatTheServerMakesOfASetting(t *testing.T) {
	f := newFake(t, plain())
	f.bent = map[string]string{"innodb_buffer_pool_size": "268435456"}
	err := f.apply(changeOf(t, plain(), set("innodb_buffer_pool_size", "200M")))
	violationAt(t, err, "/settings/innodb_buffer_pool_size", `the server made it "268435456"`)
}

func TestApplyExplainsAFailedStart(t *testing.T) {
	for name, test := range map[string]struct {
		spec    api.DBServer
		lines   []string
		pointer api.Pointer
		says    string
	}{
		"a taken port": {plain(), []string{
			"2026-11-22  9:00:00 0 [ERROR] Unknown collation: 'old'",
			"Starting foobar-db-main.service - foobar database server main (MariaDB)...",
			"2026-11-22  9:21:01 0 [Note] Starting MariaDB 11.8.6-MariaDB-0+deb13u1",
			"2026-11-22  9:21:01 0 [ERROR] Can't start server: Bind on TCP/IP port. Got error: 98: Address already in use",
			"2026-11-22  9:21:01 0 [ERROR] Aborting",
		}, "/port", "Address already in use"},
		"too little memory": {set("innodb_buffer_pool_size", "1T"), []string{
			"2026-11-22  9:21:01 0 [ERROR] InnoDB: Cannot map innodb_buffer_pool_size_max=1t",
			"2026-11-22  9:21:01 0 [ERROR] InnoDB: Cannot allocate memory for the buffer pool",
		}, "/settings/innodb_buffer_pool_size", "buffer pool"},
		"something else": {plain(), []string{"2026-11-22  9:21:01 0 [ERROR] InnoDB: Corrupted page"}, "", "Corrupted page"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, plain())
			f.active, f.journalLines = false, test.lines
			f.startErr = &systemd.JobError{Verb: "start", Unit: "foobar-db-main.service", Job: "failed", Result: "exit-code"}
			err := f.apply(converge.Change{Name: "main", To: version(t, test.spec)})
			violationAt(t, err, test.pointer, test.says)
		})
	}
	f := newFake(t, plain())
	f.active, f.startErr = false, &systemd.JobError{Verb: "start", Job: "assert"}
	if err := f.apply(changeOf(t, plain(), plain())); err == nil || !strings.Contains(err.Error(), "data directory is gone") {
		t.Errorf("a start without data: %v", err)
	}
}

// violationAt fails unless err is a refusal at a place, or with a detail where
// there is none.
func violationAt(t *testing.T, err error, p api.Pointer, says string) {
	t.Helper()
	problem := api.AsProblem(err)
	if problem == nil || problem.Type != api.ProblemEngineRefused || !strings.Contains(problem.Error(), says) {
		t.Fatalf("got %v, want %q", err, says)
	}
	if p == "" && len(problem.Violations) == 0 {
		return
	}
	for _, v := range problem.Violations {
		if v.Pointer == p {
			return
		}
	}
	t.Errorf("got %v, want a violation at %s", problem.Violations, p)
}
