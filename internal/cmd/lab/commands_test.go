package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

func parse(t *testing.T, line string) (input, error) {
	t.Helper()
	words := strings.Fields(line)
	c, ok := findCommand(words[0])
	if !ok {
		t.Fatalf("there is no command %q", words[0])
	}
	return c.parse(words[1:])
}

func TestParseReadsFlagsAnywhereBeforeTheDashes(t *testing.T) {
	for line, want := range map[string]input{
		"up":                                {},
		"up -no-agent a=1 b=2":              {args: []string{"a=1", "b=2"}, noAgent: true},
		"up a=1 -agent x b=2 -q":            {args: []string{"a=1", "b=2"}, agent: "x", quiet: true},
		"up -www 203.0.113.50":              {www: "203.0.113.50"},
		"reset -same-incarnation web1 web2": {args: []string{"web1", "web2"}, sameIncarnation: true},
		"reset web1 --same-incarnation":     {args: []string{"web1"}, sameIncarnation: true},
		"exec web1 -- ls -l -- x":           {args: []string{"web1"}, command: []string{"ls", "-l", "--", "x"}},
		"run -- curl -q":                    {command: []string{"curl", "-q"}},
		"logs web1":                         {args: []string{"web1"}},
		"logs web1 -- -f":                   {args: []string{"web1"}, command: []string{"-f"}},
		"partition web1 lb1,mgmt":           {args: []string{"web1", "lb1,mgmt"}},
		"heal":                              {},
		"status -json":                      {json: true},
	} {
		got, err := parse(t, line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		same := slices.Equal(got.args, want.args) && slices.Equal(got.command, want.command)
		got.args, got.command, want.args, want.command = nil, nil, nil, nil
		if !same || !equal(got, want) {
			t.Errorf("%q: got %+v, want %+v", line, got, want)
		}
	}
}

func equal(a, b input) bool {
	return a.agent == b.agent && a.noAgent == b.noAgent && a.quiet == b.quiet && a.json == b.json &&
		a.sameIncarnation == b.sameIncarnation && a.www == b.www
}

func TestParseSaysWhatIsMissing(t *testing.T) {
	for line, want := range map[string]string{
		"down now":          "takes no arguments",
		"reboot":            "at least one machine",
		"exec web1":         "then -- and the command",
		"exec web1 ls":      "then -- and the command",
		"exec -- ls":        "name one machine",
		"run curl":          "give -- and the command",
		"manage":            "give -- and the command",
		"partition web1":    "two parties",
		"heal web1":         "two parties, or nothing",
		"logs":              "name one machine",
		"reboot -fast web1": "flag provided but not defined: -fast",
		"up web1=x -- y":    "nothing may follow --",
	} {
		if _, err := parse(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", line, err, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	for _, line := range [][]string{{"help"}, {"up", "-h"}, {"reset", "--help"}} {
		if err := run(context.Background(), line, &out); err != nil {
			t.Fatal(err)
		}
	}
	golden.Compare(t, "help.golden", out.String())
}

func TestUnknownCommandIsAUsageError(t *testing.T) {
	var usage usageError
	if err := run(context.Background(), []string{"fly"}, &bytes.Buffer{}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range commands() {
		if seen[c.name] {
			t.Errorf("command %s is there twice", c.name)
		}
		seen[c.name] = true
		if c.do == nil || c.help == "" && !c.hidden {
			t.Errorf("command %s lacks what it does or what it says", c.name)
		}
	}
}
