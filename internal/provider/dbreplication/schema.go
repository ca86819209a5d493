package dbreplication

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// requireTLS tells whether users need an encrypted connection where the
// configuration does not say.
const requireTLS = true

// attributes returns the schema of [model] beyond the shared part, and that of
// the machine, which follows from the primary.
func attributes() map[string]schema.Attribute {
	defaults := api.DefaultDBReplication()
	return map[string]schema.Attribute{
		"machine": coordinatorAttribute(),
		"primary": schema.StringAttribute{
			MarkdownDescription: "The member that takes the writes. It cannot be changed to another member yet.",
			Required:            true,
			PlanModifiers:       []planmodifier.String{samePrimary{}},
		},
		"members": schema.MapNestedAttribute{
			MarkdownDescription: "The database servers that take part, by the name of the machine that each is on: " + api.MemberBounds().String() + " of them. A name has " + tfutil.NameText() + ". One alone is a replication too.",
			Required:            true,
			NestedObject:        schema.NestedAttributeObject{Attributes: memberAttributes()},
		},
		"witnesses": schema.MapNestedAttribute{
			MarkdownDescription: "Machines without a database that count in a majority, by their names, such as `{ lb1 = foobar_machine.lb1 }`. " +
				"With one, two members survive the loss of a machine. A member that is to be a witness leaves the replication first, in an earlier apply. " + api.WitnessBounds().String() + " witnesses, default: none.",
			Optional:     true,
			Computed:     true,
			Default:      mapdefault.StaticValue(noneOf(peerTypes())),
			NestedObject: schema.NestedAttributeObject{Attributes: peerAttributes(asked)},
		},
		"databases": databasesAttribute(),
		"users":     usersAttribute(defaults.Engine),
		"max_lag": tfutil.DurationAttribute("How far a replica may lag behind the primary, beyond its own `delay`, before a warning is shown; `0s` for any lag.",
			defaults.MaxLag, api.LagBounds()),
		"lag_hold": tfutil.DurationAttribute("How long the lag must stay above `max_lag` before a warning is shown.", defaults.LagHold, api.LagBounds()),
		"min_binlog_retention": tfutil.DurationAttribute("The shortest time for which the servers have to keep their binary logs, `0s` for any. "+
			"It has to exceed the longest outage of a replica that is to catch up by itself; a plan warns of a server that keeps them for less.", defaults.MinBinlogRetention, api.LagBounds()),
		"reseed":          reseedAttribute(),
		"drop":            dropAttribute(),
		"current_primary": schema.StringAttribute{MarkdownDescription: "The member that is the primary now; null if none is known to be.", Computed: true},
		"epoch":           schema.Int64Attribute{MarkdownDescription: "Counts the changes of the primary.", Computed: true},
		"roles": schema.MapAttribute{
			MarkdownDescription: "What each member is, by its machine's name: `primary` or `replica`.",
			ElementType:         types.StringType,
			Computed:            true,
		},
	}
}

func coordinatorAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The machine whose agent coordinates: that of the primary.",
		Computed:            true,
		Attributes: map[string]schema.Attribute{
			"name":        schema.StringAttribute{MarkdownDescription: "The machine's name.", Computed: true},
			"address":     schema.StringAttribute{MarkdownDescription: "Where its agent is reached.", Computed: true},
			"incarnation": schema.Int64Attribute{MarkdownDescription: "Which VM of that name it is.", Computed: true},
			"key":         schema.StringAttribute{MarkdownDescription: "The pin of the machine's public key.", Computed: true},
		},
	}
}

func memberAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"server": schema.SingleNestedAttribute{
			MarkdownDescription: "The database server: `foobar_db_server.web1`, or an object of the same attributes.",
			Required:            true,
			Attributes: map[string]schema.Attribute{
				"machine": schema.SingleNestedAttribute{
					MarkdownDescription: "The machine that it is on. Another address, key or incarnation of it is no other member.",
					Required:            true,
					Attributes:          peerAttributes(required),
				},
				"name":   schema.StringAttribute{MarkdownDescription: "Name of the database server on its machine: " + tfutil.NameText() + ".", Required: true},
				"engine": schema.StringAttribute{MarkdownDescription: "Its engine; all members have one.", Required: true},
				"server_id": schema.Int64Attribute{
					MarkdownDescription: "Its server id, " + api.ServerIDBounds().String() + "; each member has another one.",
					Required:            true,
					Validators:          []validator.Int64{tfutil.Within(api.ServerIDBounds())}, // a spec can hold no other
				},
				"port": schema.Int64Attribute{MarkdownDescription: "The TCP port that it listens on, " + api.PortBounds().String() + ".", Required: true},
			},
		},
		"address": schema.StringAttribute{
			MarkdownDescription: "IP address at which the other members reach the server. Default: that at which the machine's agent is reached; " +
				"where that is a host name, it has to be given.",
			Optional: true,
			Computed: true,
		},
		"delay": tfutil.DurationAttribute("How long the member, as a replica, holds changes back, in whole seconds; "+
			"such a member is a way back from a mistake, and none that can take over at once.", 0, api.DelayBounds()),
	}
}

// demand is how a schema demands an attribute.
type demand bool

const (
	required demand = true
	// asked leaves it to [check] and the spec to demand it: of an element of a
	// map that is not known yet, the framework would say that it lacks whatever
	// is required of it.
	asked demand = false
)

// text says in the docs what the schema does not.
func (d demand) text() string {
	if d == asked {
		return " Required."
	}
	return ""
}

// peerAttributes returns the schema of a [tfutil.Machine] that is one of many.
func peerAttributes(d demand) map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			MarkdownDescription: "The machine's name, which its certificate has to prove: " + tfutil.NameText() + "." + d.text(),
			Required:            d == required,
			Optional:            d == asked,
			Validators:          []validator.String{tfutil.Name()},
		},
		"address": schema.StringAttribute{
			MarkdownDescription: "Where its agent is reached, also by the other machines: a host or `host:port`; the port is 9443 if none is given." + d.text(),
			Required:            d == required,
			Optional:            d == asked,
			Validators:          []validator.String{tfutil.Address()},
			PlanModifiers:       []planmodifier.String{tfutil.KeepAddress()},
		},
		"incarnation": schema.Int64Attribute{
			MarkdownDescription: "Which VM of that name it is.",
			Optional:            true,
			Validators:          []validator.Int64{tfutil.Incarnation()},
		},
		"key": schema.StringAttribute{
			MarkdownDescription: "The pin of the machine's public key. A machine that shows another key is refused, also by the other machines.",
			Optional:            true,
			Validators:          []validator.String{tfutil.Check("Invalid key", "the pin of a key, as foobar_machine has it", api.CheckKeyPin)},
		},
	}
}

func peerTypes() map[string]attr.Type {
	return map[string]attr.Type{"name": types.StringType, "address": types.StringType, "incarnation": types.Int64Type, "key": types.StringType}
}

func noneOf(attributes map[string]attr.Type) types.Map {
	return types.MapValueMust(types.ObjectType{AttrTypes: attributes}, nil)
}

func databasesAttribute() schema.Attribute {
	return schema.MapNestedAttribute{
		MarkdownDescription: "The apps' databases, by name. They are made on the primary and copied with the data. " +
			"One that is taken out stays on the servers until `drop` names it; the plan that takes it out warns. " + objectsText(),
		Optional: true,
		Computed: true,
		Default:  mapdefault.StaticValue(noneOf(map[string]attr.Type{"charset": types.StringType, "collation": types.StringType})),
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"charset":   tfutil.OptionalText("Character set, such as `utf8mb4`, by the name that the server shows it with. Default: the server's."),
			"collation": tfutil.OptionalText("Collation, such as `utf8mb4_uca1400_ai_ci`, with its character set in front. Default: that of the character set."),
		}},
	}
}

// objectsText says in the docs what databases and users have in common.
func objectsText() string {
	return fmt.Sprintf("A name has %s. %s of them, default: none.", api.DBNameRule, api.DBObjectBounds())
}

func usersAttribute(engine api.DBEngine) schema.Attribute {
	return schema.MapNestedAttribute{
		MarkdownDescription: "The apps' users, by name. They may connect from wherever the servers' `allowed_clients` are. " +
			"One that is taken out stays on the servers until `drop` names it; the plan that takes it out warns. " + objectsText(),
		Optional: true,
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"password_wo": schema.StringAttribute{
				MarkdownDescription: "The password, required. Terraform keeps it neither in the plan nor in the state; raise `password_wo_version` when it changes. " + tfutil.SecretText(),
				Optional:            true,
				Sensitive:           true,
				WriteOnly:           true,
			},
			"password_wo_version": schema.Int64Attribute{
				MarkdownDescription: "Version of `password_wo`, required: 1, then one more with each change of the password.",
				Optional:            true,
				Validators:          []validator.Int64{tfutil.Version()},
			},
			"grants": schema.MapAttribute{
				MarkdownDescription: fmt.Sprintf("The user's privileges by database: `ALL`, or some of `%s`. A user has no others, but on the routines that it makes. A database's name has %s. Default: none.",
					strings.Join(api.DBPrivileges(engine), "`, `"), api.DBNameRule),
				ElementType: types.SetType{ElemType: types.StringType},
				Optional:    true,
				Computed:    true,
				Default:     mapdefault.StaticValue(types.MapValueMust(types.SetType{ElemType: types.StringType}, nil)),
			},
			"require_tls": tfutil.FlagAttribute("Whether connections that are not encrypted are refused.", requireTLS),
		}},
	}
}

// tokenText describes what both consents have.
func tokenText() string {
	return fmt.Sprintf("Any text of %s bytes, such as today's date. The consent counts once for each token: give another one to consent again.", api.ConsentBounds())
}

func reseedAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "Permission to overwrite one member's data with a copy of the primary's. It counts once for each `token`, so it can stay in the configuration.",
		Optional:            true,
		Attributes: map[string]schema.Attribute{
			"node":  schema.StringAttribute{MarkdownDescription: "The member; never the primary.", Required: true},
			"token": schema.StringAttribute{MarkdownDescription: tokenText(), Required: true},
		},
	}
}

func dropAttribute() schema.Attribute {
	names := func(what string) schema.Attribute {
		return schema.SetAttribute{
			MarkdownDescription: fmt.Sprintf("Names of %s to drop, which are no longer in `%s`: each has %s. Default: none.", what, what, api.DBNameRule),
			ElementType:         types.StringType,
			Optional:            true,
			Computed:            true,
			Default:             setdefault.StaticValue(types.SetValueMust(types.StringType, nil)),
		}
	}
	return schema.SingleNestedAttribute{
		MarkdownDescription: "Consent to drop databases, with all that is in them, and users. It counts once; it may stay where it is.",
		Optional:            true,
		Attributes: map[string]schema.Attribute{
			"databases": names("databases"),
			"users":     names("users"),
			"token":     schema.StringAttribute{MarkdownDescription: tokenText(), Required: true},
		},
	}
}
