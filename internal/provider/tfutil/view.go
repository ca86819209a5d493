package tfutil

import (
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// ViewedMachine returns the attribute "machine" of every data source; its
// model is [Machine].
func ViewedMachine() schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The machine to ask: `foobar_machine.web1`, or an object of its `name` and `address`.",
		Required:            true,
		Attributes: map[string]schema.Attribute{
			"name": schema.StringAttribute{
				MarkdownDescription: "The machine's name, which its certificate has to prove: " + NameText() + ".",
				Required:            true,
				Validators:          []validator.String{Name()},
			},
			"address": schema.StringAttribute{
				MarkdownDescription: "Where its agent is reached: a host or `host:port`; the port is 9443 if none is given.",
				Required:            true,
				Validators:          []validator.String{Address()},
			},
			"incarnation": schema.Int64Attribute{
				MarkdownDescription: "Which VM of that name it is.",
				Optional:            true,
			},
			"key": schema.StringAttribute{
				MarkdownDescription: "The pin of the machine's public key. A machine that shows another key is refused.",
				Optional:            true,
			},
		},
	}
}

// Condition is the model of an [api.Condition] in a data source.
type Condition struct {
	Type      string `tfsdk:"type"`
	Severity  string `tfsdk:"severity"`
	Message   string `tfsdk:"message"`
	Attribute string `tfsdk:"attribute"`
}

// Conditions returns the models of conditions; never nil.
func Conditions(conditions []api.Condition, paths Paths) []Condition {
	models := make([]Condition, 0, len(conditions))
	for _, c := range conditions {
		models = append(models, Condition{
			Type: c.Type, Severity: string(c.Severity), Message: api.Visible(c.Message), Attribute: paths.Path(c.Pointer).String(),
		})
	}
	return models
}

// ConditionsAttribute returns the attribute "conditions" of every data
// source; its model is a list of [Condition].
func ConditionsAttribute() schema.Attribute {
	return schema.ListNestedAttribute{
		MarkdownDescription: "What is wrong, or worth knowing, and is not repaired by an apply.",
		Computed:            true,
		NestedObject: schema.NestedAttributeObject{Attributes: map[string]schema.Attribute{
			"type": schema.StringAttribute{
				MarkdownDescription: "What is the case, in one stable word, such as `ServerDown`.",
				Computed:            true,
			},
			"severity": schema.StringAttribute{
				MarkdownDescription: "How bad it is: `info`, `warning` or `error`.",
				Computed:            true,
			},
			"message": schema.StringAttribute{
				MarkdownDescription: "What is the case and what to do, for a person.",
				Computed:            true,
			},
			"attribute": schema.StringAttribute{
				MarkdownDescription: "The resource's attribute that it concerns; empty for the whole.",
				Computed:            true,
			},
		}},
	}
}
