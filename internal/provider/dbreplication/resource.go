// Package dbreplication is the resource and the data source foobar_db_replication.
package dbreplication

import (
	"maps"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const (
	typeName = "db_replication"
	title    = "replication"
)

const description = "Makes database servers one database: a primary that takes the writes, and replicas that follow it, with the databases and users of your apps. " +
	"A stand-alone database is a replication of one member; the second is added with one line.\n\n" +
	"The agent of the primary's machine coordinates. A new member gets a copy of the primary's data and follows from there. A member whose data hold what the primary's " +
	"do not is left alone, until `reseed` allows to discard that. After a restart the primary takes writes only once a majority of the members and witnesses answers and none of them knows of a newer primary.\n\n" +
	"Copying much data takes longer than the default timeout of 5 minutes: raise `timeouts`.\n\n" +
	"The servers have to let one another in: name the members' machines in the `allowed_clients` of each `foobar_db_server`.\n\n" +
	"A destroy ends the replication and deletes no data: every member keeps its databases and users. A primary that takes writes takes them until its next restart, and then nobody does. " +
	"What moves by itself, such as the lag, is in the data source of the same name."

// model is the resource's model.
type model struct {
	component.Model
	settings
	CurrentPrimary types.String `tfsdk:"current_primary"`
	Epoch          types.Int64  `tfsdk:"epoch"`
	Roles          types.Map    `tfsdk:"roles"`
}

// New returns the resource foobar_db_replication.
func New() resource.Resource {
	return component.New(kind())
}

func kind() component.Kind[model, api.DBReplication] {
	return component.Kind[model, api.DBReplication]{
		Kind:        api.KindDBReplication,
		TypeName:    typeName,
		Title:       title,
		Description: description,
		Ends:        "Its members stop following the primary. All data stay; the primary takes writes until its next restart, and then nobody does.",
		Attributes:  attributes(),
		Renamed:     renamed(),
		MachineAt:   coordinator,
		Shared:      func(m *model) *component.Model { return &m.Model },
		Spec:        func(m model) (api.DBReplication, error) { return m.spec() },
		Show:        func(spec api.DBReplication, m *model) { m.settings = newSettings(spec, m.settings) },
		Status:      showStatus,
		Moving:      []string{"current_primary", "epoch", "roles"},
		Steady:      steady(),
		Resolve:     resolve,
		Check:       check,
		Guess:       guess,
		Foresee:     foresee,
		Lost:        lost,
		Secrets:     passwords,
		SecretSets:  passwordSets,
		Prepare:     enlist,
		Left:        left,
		Others:      others,
	}
}

// steady names the attributes whose change moves no role. Nothing else does that
// meanwhile: a primary changes by an order alone, which raises the generation
// that the write is based on. Where agents fail over by themselves, nothing is steady.
func steady() []string {
	return []string{"databases", "users", "drop", "max_lag", "lag_hold", "min_binlog_retention"}
}

// renamed is where the attributes are called otherwise than in the spec: a
// member is a server with its machine, and what is write-only is called so.
// "/members/*/machine", "/members/*/engine" and "/witnesses/*/name" are no
// places of the spec, but what [check] calls them. What is wrong with a witness
// as a whole shows on its name: that is known when nothing else is.
func renamed() map[api.Pointer]api.Pointer {
	return map[api.Pointer]api.Pointer{
		"/engine":                   "/members",
		"/members/*/address":        "/members/*/server/machine/address",
		"/members/*/key":            "/members/*/server/machine/key",
		"/members/*/incarnation":    "/members/*/server/machine/incarnation",
		"/members/*/machine":        "/members/*/server/machine/name",
		"/members/*/engine":         "/members/*/server/engine",
		"/members/*/server":         "/members/*/server/name",
		"/members/*/server_id":      "/members/*/server/server_id",
		"/members/*/port":           "/members/*/server/port",
		"/members/*/host":           "/members/*/address",
		"/witnesses/*":              "/witnesses/*/name",
		"/witnesses/*/name":         "/witnesses/*/name",
		"/witnesses/*/address":      "/witnesses/*/address",
		"/witnesses/*/key":          "/witnesses/*/key",
		"/witnesses/*/incarnation":  "/witnesses/*/incarnation",
		"/users/*/password":         "/users/*/password_wo",
		"/users/*/password_version": "/users/*/password_wo_version",
		"/secrets":                  "/users",
		"/secrets/*":                "/users/*/password_wo",
		"/secrets_version":          "/users",
	}
}

// passwords returns the users' passwords of a configuration, by user.
func passwords(config model) map[string]api.Secret {
	all := map[string]api.Secret{}
	for name, user := range config.Users {
		if user.PasswordWO != nil {
			all[name] = *user.PasswordWO
		}
	}
	return all
}

// passwordSets returns the users' passwords of a configuration: each has a
// version of its own.
func passwordSets(config model) tfutil.SecretSets {
	sets := tfutil.SecretSets{}
	for name, user := range config.Users {
		if user.PasswordWO == nil {
			continue
		}
		at := api.Pointer("/users").At(name)
		sets[at.At("password_version")] = tfutil.SecretSet{
			Version: tfutil.Or(user.PasswordWOVersion, 0), Values: map[api.Pointer]api.Secret{at.At("password"): *user.PasswordWO},
		}
	}
	return sets
}

// others names the machines besides the coordinator.
func others(m model) []string {
	all := map[string]bool{}
	for name := range m.Members {
		all[name] = name != m.Primary
	}
	for name := range m.Witnesses {
		all[name] = true
	}
	maps.DeleteFunc(all, func(_ string, other bool) bool { return !other })
	return slices.Sorted(maps.Keys(all))
}
