package dbserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/golden"
)

// guide is the page that lists the settings. It is made of the table that
// checks them, so that it cannot tell anything else; `make golden generate` renews it.
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

The map ` + "`settings` of `foobar_db_server`" + ` takes the engine's own variables, by name with underscores. Sizes are bytes, or a number with K, M, G or T; ` + "`128M`, `131072K` and `134217728`" + ` are the
same value, and so are ` + "`ON`, `on`, `1` and `true`" + `: writing one for another plans no change.

**What is allowed.** The tables below say what each value looks like. How small or large a number may be, and which words a list has, is for the server to say, because that
changes from one point release to the next. A plan has the MariaDB that is installed on the machine read the new configuration, and refuses each value that it would change
or not start with. The error names what this version allows:

` + "```" + `
settings["group_concat_max_len"]: MariaDB 11.8.9 would use 1073741824 instead of 4294967295; it allows 4 to 1073741824. Write a value of that range.
` + "```" + `

Sizes in memory are compared with the machine's own memory: one that is more than all of it is refused, and a warning says when the memory for all clients together (the buffer pool
and its like) is more than four fifths.

If the machine does not exist yet or does not answer, the apply refuses the same way, before it changes anything. After an update of MariaDB's package the server that runs is still
the former one: until its restart, what changes at run time has to be allowed by both.

A change of what is *runtime* reaches the running engine. A change of what is *restart* restarts it, which cuts off its clients and leaves it fenced, as every start
does; the agent of a replication's primary opens it again by itself, within seconds; the plan says ` + "`impact = \"restart\"`" + ` and warns on each such value. The next plan shows a manual ` + "`SET GLOBAL`" + ` on its setting.

What is not listed cannot be set: the agent decides over fencing, replication, durability and the places of files. The error says which it is, or the nearest names that can be set.
`)
	for _, engine := range api.DBEngines() {
		fmt.Fprintf(&page, "\n## `%s`\n\n| setting | value | default | change | what |\n|---|---|---|---|---|\n", engine)
		for _, s := range api.DBSettings(engine) {
			fallback, cost := "the engine's", "restart"
			if s.Default != "" {
				fallback = "`" + s.Default + "`"
			}
			if s.Runtime {
				cost = "runtime"
			}
			fmt.Fprintf(&page, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Allowed(), fallback, cost, s.Doc)
		}
	}
	return page.String()
}
