package tfutil

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Name returns a validator for the name of a machine, a component or a part
// of one, by the rule of [api.CheckName].
func Name() validator.String {
	return check{
		summary: "Invalid name",
		about:   fmt.Sprintf("lower-case letters, digits and inner dashes, beginning with a letter; at most %d characters", api.MaxNameLength),
		why:     api.CheckName,
	}
}

// Address returns a validator for where an agent is reached: "host" or "host:port".
func Address() validator.String {
	return check{
		summary: "Invalid address",
		about:   "a host name or an IP address, with or without a port",
		why: func(text string) error {
			_, _, err := SplitAddress(text)
			return err
		},
	}
}

// OneOf returns a validator for a value of an enumeration of package api.
func OneOf[T ~string](values []T) validator.String {
	return check{
		summary: "Unknown value",
		about:   "one of " + Choices(values),
		why: func(text string) error {
			for _, v := range values {
				if text == string(v) {
					return nil
				}
			}
			return fmt.Errorf("%q is not known here: it can be %s", text, Choices(values))
		},
	}
}

// Choices lists the values of an enumeration for docs and errors: "a", "b" or "c".
func Choices[T ~string](values []T) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", string(v))
	}
	if n := len(quoted); n > 1 {
		return strings.Join(quoted[:n-1], ", ") + " or " + quoted[n-1]
	}
	return strings.Join(quoted, "")
}

// Check returns a validator that refuses a text with the reason that why
// gives; about says what is allowed, for the docs.
func Check(summary, about string, why func(text string) error) validator.String {
	return check{summary: summary, about: about, why: why}
}

// check is a validator of known texts.
type check struct {
	summary, about string
	why            func(text string) error
}

// Description implements [validator.String].
func (c check) Description(context.Context) string { return c.about }

// MarkdownDescription implements [validator.String].
func (c check) MarkdownDescription(context.Context) string { return c.about }

// ValidateString implements [validator.String].
func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := c.why(req.ConfigValue.ValueString()); err != nil {
		Error(&resp.Diagnostics, req.Path, c.summary, "%s", sentence(err.Error()))
	}
}
