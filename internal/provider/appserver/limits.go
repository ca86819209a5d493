package appserver

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// limits are what the app may take of the machine.
type limits struct {
	Memory    *string `tfsdk:"memory"`
	CPU       *int    `tfsdk:"cpu"`
	Tasks     *int    `tfsdk:"tasks"`
	OpenFiles *int    `tfsdk:"open_files"`
}

func (l *limits) spec() api.AppLimits {
	defaults := api.DefaultAppServer().Limits
	if l == nil {
		return defaults
	}
	return api.AppLimits{
		Memory:    tfutil.Or(l.Memory, defaults.Memory),
		CPU:       tfutil.Or(l.CPU, defaults.CPU),
		Tasks:     tfutil.Or(l.Tasks, defaults.Tasks),
		OpenFiles: tfutil.Or(l.OpenFiles, defaults.OpenFiles),
	}
}

func newLimits(l api.AppLimits) *limits {
	return &limits{Memory: new(l.Memory), CPU: tfutil.Optional(l.CPU), Tasks: new(l.Tasks), OpenFiles: new(l.OpenFiles)}
}

func limitsAttribute(d api.AppLimits) schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "What the app may take of the machine. Whatever the limits are, a database on the machine gets four times the app's share of CPU and disk where those are short, " +
			"and the kernel kills the app first where memory is. During a release, the old and the new one each have these limits. A change is a release.",
		Optional: true,
		Computed: true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(
			map[string]attr.Type{"memory": types.StringType, "cpu": types.Int64Type, "tasks": types.Int64Type, "open_files": types.Int64Type},
			map[string]attr.Value{
				"memory": types.StringValue(d.Memory), "cpu": types.Int64Null(),
				"tasks": types.Int64Value(int64(d.Tasks)), "open_files": types.Int64Value(int64(d.OpenFiles)),
			},
		)),
		Attributes: map[string]schema.Attribute{
			"memory": tfutil.TextAttribute("Most memory that the app may use, files in `/dev/shm` and `/tmp` that are in memory included: "+api.MemoryLimitRule+". "+
				"An app that needs more is killed and started again.", d.Memory),
			"cpu": schema.Int64Attribute{
				MarkdownDescription: fmt.Sprintf("Most CPU time that the app may use, in percent of one CPU (`150` is one and a half): %s. Default: none, the app may use what nobody else needs.", api.CPUBounds()),
				Optional:            true,
				Validators:          []validator.Int64{notZeroCPU()},
			},
			"tasks":      tfutil.NumberAttribute("How many processes and threads the app may have.", int64(d.Tasks), api.TaskBounds()),
			"open_files": tfutil.NumberAttribute("How many files and connections a process of the app may have open.", int64(d.OpenFiles), api.FileBounds()),
		},
	}
}

// notZeroCPU refuses 0, which a spec does not tell from none.
func notZeroCPU() validator.Int64 {
	return tfutil.CheckNumber("Invalid limit", api.CPUBounds().String(), func(n int64) error {
		if n == 0 {
			return fmt.Errorf("0 is no limit of CPU time: %s percent of one CPU. Without cpu the app may use what nobody else needs", api.CPUBounds())
		}
		return nil
	})
}
