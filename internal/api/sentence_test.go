package api_test

import (
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestCapitalLeavesNamesAsTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"the port is taken":              "The port is taken",
		"nothing, as it seems":           "Nothing, as it seems",
		"empty":                          "Empty",
		"it's late":                      "It's late",
		"änderung steht aus":             "Änderung steht aus",
		"notes.tar.gz is a directory":    "notes.tar.gz is a directory",
		"bin/notes is a directory":       "bin/notes is a directory",
		"db-replication/notes is taken":  "db-replication/notes is taken",
		"load-balancer/www holds it":     "load-balancer/www holds it",
		"tcp *:8081 is claimed":          "tcp *:8081 is claimed",
		"tcp [::1]:80 is claimed":        "tcp [::1]:80 is claimed",
		"tcp is the mode":                "Tcp is the mode",
		"release.source: is missing":     "release.source: is missing",
		"web1: is down":                  "web1: is down",
		"web1 is down":                   "web1 is down",
		"min_sessions of it":             "min_sessions of it",
		"drop = { ... } drops them":      "drop = { ... } drops them",
		"terraform apply seeds it again": "terraform apply seeds it again",
		"foobar-agent status says why":   "foobar-agent status says why",
		`"www" is taken`:                 `"www" is taken`,
		"10.0.0.1 answers":               "10.0.0.1 answers",
	} {
		if got := api.Capital(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
