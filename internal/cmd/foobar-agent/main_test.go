package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestCommandLine(t *testing.T) {
	for line, want := range map[string]usageError{
		"":                "a command is missing",
		"start":           `there is no command "start"`,
		"serve now":       `serve has an argument too many: "now"`,
		"status -x":       "flag provided but not defined: -x",
		"status www":      `status has an argument too many: "www"`,
		"logs":            "an argument of logs is missing",
		"logs a b":        `logs has an argument too many: "b"`,
		"restart":         "an argument of restart is missing",
		"rollback a b":    `rollback has an argument too many: "b"`,
		"drain":           "an argument of drain is missing",
		"undrain -x a":    "flag provided but not defined: -x",
		"logs -app agent": "-app is for an app server, such as app-server/shop; agent has one log",
		"db-server main":  "an argument of db-server is missing",
		"db-server a b":   "it is: db-server started|reloaded NAME",
		"logs -n x agent": `invalid value "x" for flag -n: parse error`,
	} {
		err := run(t.Context(), strings.Fields(line), new(strings.Builder))
		if got, ok := errors.AsType[usageError](err); !ok || got != want {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	if err := run(t.Context(), []string{"logs", "-h"}, new(strings.Builder)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("logs -h: %v, want help", err)
	}
	for args, want := range map[string]string{"version": version + "\n", "help": usage} {
		var out strings.Builder
		if err := run(t.Context(), []string{args}, &out); err != nil || out.String() != want {
			t.Errorf("%s: %q, %v", args, out.String(), err)
		}
	}
}

func TestUsageIsThatOfTheCommand(t *testing.T) {
	for line, want := range map[string]struct{ has, hasNot string }{
		"":               {"  status [-json]", "shows all commands"},
		"start":          {"  status [-json]", "shows all commands"},
		"db":             {"  status [-json]", "shows all commands"},
		"rollback":       {"app-server/shop", "undrain"},
		"drain -x":       {"app-server/shop", "rollback"},
		"undrain":        {"app-server/shop", "  drain"},
		"restart":        {"  restart COMPONENT", "rollback"},
		"logs -x":        {"load-balancer/www", "restart"},
		"identity reset": {"services stay as they are", "replication"},
		"db-server":      {"what the unit of a database server runs", "version"},
	} {
		if got := usageOf(strings.Fields(line)); !strings.Contains(got, want.has) || strings.Contains(got, want.hasNot) {
			t.Errorf("%q: the usage is\n%s", line, got)
		}
	}
}

func TestFlagsStandBeforeAndAfterArguments(t *testing.T) {
	for _, args := range [][]string{{"-n", "7", "agent"}, {"agent", "-n", "7"}, {"agent", "-n=7"}} {
		flags := flag.NewFlagSet("logs", flag.ContinueOnError)
		n := flags.Int("n", 50, "")
		rest, err := parse(flags, args, 1)
		if err != nil || *n != 7 || !slices.Equal(rest, []string{"agent"}) {
			t.Errorf("%q: %d %q, %v", args, *n, rest, err)
		}
	}
}

func TestUnits(t *testing.T) {
	tests := []struct{ component, units, err string }{
		{"agent", "foobar-agent.service", ""},
		{"load-balancer/www", "foobar-lb-www.service", ""},
		{"db-server/main", "foobar-db-main.service", ""},
		{"db-replication/main", "foobar-agent.service", ""},
		{"app-server/shop", "foobar-app-shop@blue.service foobar-app-shop@green.service foobar-app-shop-nginx.service", ""},
		{"www", "", `"www" is no component: write agent, or a kind and a name, such as load-balancer/www`},
		{"load-balancer/W", "", `"load-balancer/W" is no component`},
		{"mail/www", "", `"mail" is no kind`},
	}
	for _, test := range tests {
		got, err := units(test.component)
		if strings.Join(got, " ") != test.units || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want %q, %q", test.component, got, err, test.units, test.err)
		}
	}
}

func TestAwaitReportsEachReasonOnce(t *testing.T) {
	results := []error{errors.New("none"), errors.New("none"), errors.New("cut off"), nil}
	again := make(chan time.Time, len(results))
	for range results {
		again <- time.Time{}
	}
	var reasons []string
	got, err := await(t.Context(), again, func() (string, error) {
		result := results[0]
		results = results[1:]
		return "opened", result
	}, func(failure error) { reasons = append(reasons, failure.Error()) })
	if err != nil || got != "opened" || !slices.Equal(reasons, []string{"none", "cut off"}) {
		t.Errorf("%q, %v, reported %q", got, err, reasons)
	}
}

func TestAwaitEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := await(ctx, nil, func() (int, error) { return 0, errors.New("none") }, func(error) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestIdleAgentTellsJournalAndConsole(t *testing.T) {
	console := filepath.Join(t.TempDir(), "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var journal strings.Builder
	log := hclog.New(&hclog.LoggerOptions{Output: &journal, JSONFormat: true})
	reportIdle(log, console, "bootstrap: is cut off")
	text, err := os.ReadFile(console)
	if err != nil || string(text) != "foobar-agent serves nothing until this is mended: bootstrap: is cut off\n" {
		t.Errorf("console %q, %v", text, err)
	}
	if strings.Count(journal.String(), "\n") != 1 || !strings.Contains(journal.String(), "bootstrap: is cut off") {
		t.Errorf("journal %q", journal.String())
	}
	reportIdle(log, filepath.Join(t.TempDir(), "none"), "x") // no console is no failure
}
