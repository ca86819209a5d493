package tfutil

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TimeoutsAttribute returns the attribute "timeouts" of a resource; its model
// is a [timeouts.Value]. Each is within [api.OperationBounds]. Bounded says what
// they bound, and what happens when the time is up.
func TimeoutsAttribute(ctx context.Context, bounded string, opts timeouts.Opts) schema.Attribute {
	attribute := timeouts.Attributes(ctx, opts)
	if nested, ok := attribute.(schema.SingleNestedAttribute); ok {
		nested.MarkdownDescription = bounded + " Each value is a number with a unit (`ms`, `s`, `m` or `h`), such as `90s` or `10m`. Changing only `timeouts` contacts no machine."
		for name, attribute := range nested.Attributes {
			if text, ok := attribute.(schema.StringAttribute); ok {
				text.MarkdownDescription = fmt.Sprintf("%s `%s` to `%s`.", text.Description, api.OperationBounds().Low, api.OperationBounds().High)
				text.Description = ""
				text.Validators = []validator.String{Check("Invalid timeout", api.OperationBounds().String(), checkTimeout)}
				nested.Attributes[name] = text
			}
		}
		return nested
	}
	return attribute
}

func checkTimeout(text string) error {
	d, err := api.ParseDuration(text)
	if err == nil && !api.OperationBounds().Hold(d) {
		err = fmt.Errorf("a timeout of %s is out of bounds; allowed are %s", text, api.OperationBounds())
	}
	return err
}
