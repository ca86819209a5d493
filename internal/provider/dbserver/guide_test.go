package dbserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// guide is the page that lists the settings. It is made of the table that
// judges them, so that it cannot tell anything else; `make golden generate` renews it.
const guide = "../../../../templates/guides/database-settings.md" // from testdata

func TestGuideListsTheSettings(t *testing.T) {
	golden.Compare(t, guide, settingsGuide())
}

func settingsGuide() string {
	var page strings.Builder
	page.WriteString(`---
page_title: "Settings of a database server"
subcategory: "Guides"
description: |-
  What the settings of foobar_db_server may be, and what a change of each costs.
---

# Settings of a database server

The map ` + "`settings` of `foobar_db_server`" + ` takes the engine's own variables, by name with underscores. A plan checks names and values by the
tables below, then has the engine itself read the new configuration. Sizes are bytes, or a number with K, M, G or T; ` + "`128M`, `131072K` and `134217728`" + ` are the
same value, and so are ` + "`ON`, `on`, `1` and `true`" + `: writing one for another plans no change.

A change of what is *runtime* reaches the running engine. A change of what is *restart* restarts it, which cuts off its clients and leaves it fenced, as every start
does; the plan says ` + "`impact = \"restart\"`" + ` and warns on each such value. What somebody changes by hand with ` + "`SET GLOBAL`" + ` shows in the next plan on its setting.

What is not listed is either not worth a setting or decides over fencing, replication, durability or places on the machine, and is the agent's matter; the error says which.
`)
	for _, engine := range api.DBEngines() {
		fmt.Fprintf(&page, "\n## `%s`\n\n| setting | allowed | default | change | what |\n|---|---|---|---|---|\n", engine)
		for _, s := range api.DBSettings(engine) {
			fallback, cost := "the engine's", "restart"
			if s.Default != "" {
				fallback = "`" + s.Default + "`"
			}
			if s.Runtime {
				cost = "runtime"
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Range(), fallback, cost, s.Doc)
		}
	}
	return page.String()
}
