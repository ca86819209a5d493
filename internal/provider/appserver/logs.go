package appserver

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// logSettings are what is kept of the logs of the app and of nginx.
type logSettings struct {
	Rate      *int    `tfsdk:"rate"`
	Retention *string `tfsdk:"retention"`
	MaxBytes  *int64  `tfsdk:"max_bytes"`
}

func (l *logSettings) spec(durations *tfutil.Durations, at api.Pointer) api.AppLogs {
	defaults := api.DefaultAppServer().Logs
	if l == nil {
		return defaults
	}
	return api.AppLogs{
		Rate:      tfutil.Or(l.Rate, defaults.Rate),
		Retention: durations.Or(l.Retention, defaults.Retention, at.At("retention")),
		MaxBytes:  tfutil.Or(l.MaxBytes, defaults.MaxBytes),
	}
}

func newLogs(l api.AppLogs) *logSettings {
	return &logSettings{Rate: new(l.Rate), Retention: new(l.Retention.String()), MaxBytes: new(l.MaxBytes)}
}

func logsAttribute(d api.AppLogs) schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "What the machine keeps of the app's log, and of that of nginx in front of it. A change restarts neither.",
		Optional:            true,
		Computed:            true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(
			map[string]attr.Type{"rate": types.Int64Type, "retention": tfutil.DurationType{}, "max_bytes": types.Int64Type},
			map[string]attr.Value{"rate": types.Int64Value(int64(d.Rate)), "retention": tfutil.NewDuration(d.Retention), "max_bytes": types.Int64Value(d.MaxBytes)},
		)),
		Attributes: map[string]schema.Attribute{
			"rate": tfutil.NumberAttribute(fmt.Sprintf("How many lines a second each log takes, counted over 30 s: a burst of %d lines passes. "+
				"Lines beyond that are dropped, and the condition `LogsDropped` says how many. While the disk has room, the log takes up to 2.75 times as much. Lines a second:", 30*d.Rate),
				int64(d.Rate), api.LogRateBounds()),
			"retention": tfutil.DurationAttribute("How long a line is kept. It may go earlier, by an eighth of the time or a day, or where newer lines need its place; and it goes when the log gets its next line.",
				d.Retention, api.LogRetentionBounds()),
			"max_bytes": bytesWithin("How much disk each of the two logs may take; the oldest lines make room.", d.MaxBytes, api.LogSizeBounds()),
		},
	}
}
