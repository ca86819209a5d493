// Package dbserver is the resource and the data source foobar_db_server.
package dbserver

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
)

const (
	typeName = "db_server"
	title    = "database server"
)

const description = "Runs one instance of a database engine, with a systemd unit, a data directory and a configuration of its own.\n\n" +
	"It boots fenced, which is read-only, and stays so until a replication opens it. It has no superuser password: " +
	"the machine's agent alone is let in, over the Unix socket. Its TLS certificate is signed during the apply, for a key that never leaves the machine.\n\n" +
	"A destroy stops the server and keeps its data. What moves by itself, such as the number of connections, is in the data source of the same name."

// model is the resource's model.
type model struct {
	component.Model
	settings
}

// New returns the resource foobar_db_server.
func New() resource.Resource {
	return component.New(kind())
}

// lost says what a server on a rebuilt machine starts without. Which databases it
// had, and whether other members of a replication have them, its state does not know.
func lost(before, after model) string {
	if !after.Machine.Rebuilt(before.Machine) {
		return ""
	}
	return fmt.Sprintf("Machine %q is another VM now, on which the database server %q starts with an empty data directory. "+
		"Data that were on the former VM alone are not moved: restore them from a backup after the apply. A replica of a replication gets a copy of the primary's data. "+
		"A primary gets none: the apply refuses it as long as another member may have the data, and says how to go on.",
		after.Machine.Name.ValueString(), after.Name.ValueString())
}

func kind() component.Kind[model, api.DBServer] {
	return component.Kind[model, api.DBServer]{
		Kind:        api.KindDBServer,
		TypeName:    typeName,
		Title:       title,
		Description: description,
		Ends:        "The server is stopped. Its data stay on the machine.",
		Attributes:  attributes(),
		Shared:      func(m *model) *component.Model { return &m.Model },
		Spec:        func(m model) (api.DBServer, error) { return m.spec(), nil },
		Show:        func(spec api.DBServer, m *model) { m.settings = newSettings(spec, m.settings) },
		Resolve:     resolve,
		Guess:       guess,
		Foresee:     foresee,
		Lost:        lost,
		Prepare:     certify,
	}
}
