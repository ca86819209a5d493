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
		about:   NameText(),
		why:     api.CheckName,
	}
}

// NameText says in the docs what [Name] allows.
func NameText() string {
	return fmt.Sprintf("%s; at most %d characters", api.NameRule, api.MaxNameLength)
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
			return fmt.Errorf("%q is unknown; allowed are %s", text, Choices(values))
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

// Version returns a validator for the version of a secret, by the rule of
// [api.CheckVersion].
func Version() validator.Int64 {
	return checkNumber{summary: "Invalid version", about: "a number from 1", why: api.CheckVersion}
}

// Within returns a validator for a number that has bounds.
func Within(bounds api.Bounds) validator.Int64 {
	return checkNumber{summary: "Number out of range", about: bounds.String(), why: func(n int64) error {
		if !bounds.Hold(n) {
			return fmt.Errorf("%d is out of bounds; allowed are %s", n, bounds)
		}
		return nil
	}}
}

// Incarnation returns a validator for the incarnation of a machine.
func Incarnation() validator.Int64 {
	return checkNumber{summary: "Invalid incarnation", about: "a number from 1", why: func(n int64) error {
		if n < 1 {
			return fmt.Errorf("%d is not an incarnation: the first VM of a name has 1, and each rebuilt one a higher number", n)
		}
		return nil
	}}
}

// CheckNumber is [Check] for a number.
func CheckNumber(summary, about string, why func(n int64) error) validator.Int64 {
	return checkNumber{summary: summary, about: about, why: why}
}

// checkNumber is a validator of known numbers.
type checkNumber struct {
	summary, about string
	why            func(n int64) error
}

// Description implements [validator.Int64].
func (c checkNumber) Description(context.Context) string { return c.about }

// MarkdownDescription implements [validator.Int64].
func (c checkNumber) MarkdownDescription(context.Context) string { return c.about }

// ValidateInt64 implements [validator.Int64].
func (c checkNumber) ValidateInt64(_ context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := c.why(req.ConfigValue.ValueInt64()); err != nil {
		Error(&resp.Diagnostics, req.Path, c.summary, "%s", sentence(err.Error()))
	}
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
