package appserver

import (
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// liveness is what a running app has to answer; nil means that it is not asked.
type liveness struct {
	Path     *string `tfsdk:"path"`
	Interval *string `tfsdk:"interval"`
	Timeout  *string `tfsdk:"timeout"`
	Failures *int    `tfsdk:"failures"`
}

func (l *liveness) spec(durations *tfutil.Durations, at api.Pointer) *api.AppLiveness {
	if l == nil {
		return nil
	}
	defaults := api.DefaultAppLiveness()
	return &api.AppLiveness{
		Path:     tfutil.Or(l.Path, defaults.Path),
		Interval: durations.Or(l.Interval, defaults.Interval, at.At("interval")),
		Timeout:  durations.Or(l.Timeout, defaults.Timeout, at.At("timeout")),
		Failures: tfutil.Or(l.Failures, defaults.Failures),
	}
}

func newLiveness(l *api.AppLiveness) *liveness {
	if l == nil {
		return nil
	}
	return &liveness{Path: new(l.Path), Interval: new(l.Interval.String()), Timeout: new(l.Timeout.String()), Failures: new(l.Failures)}
}

func livenessAttribute() schema.Attribute {
	d := api.DefaultAppLiveness()
	return schema.SingleNestedAttribute{
		MarkdownDescription: "A `GET` request that the app has to answer with 200 as long as it runs. The agent restarts an app that does not: at once the first time, then after a pause that doubles " +
			"from 30 s up to 15 min, until the app has answered for 10 min. A hung app gets SIGTERM, and SIGKILL if it has not ended after `stop_timeout`: so long it may be away in addition. It restarts nothing while an apply is at work, nor an app that still has `health_check.start_timeout` to start. " +
			"The conditions `AppHung` and `AppWasHung` and the agent's log report it. Choose a path that does not depend on a database or on another machine: their failure would restart the app. Default: none; a hung app is then reported by the condition `AppUnhealthy` of a plan alone, keeps its share of the requests, and is not restarted.",
		Optional: true,
		Attributes: map[string]schema.Attribute{
			"path":     tfutil.TextAttribute(fmt.Sprintf("Path of the request, outside of `%s`: %s.", api.HealthPrefix, tfutil.PathText()), d.Path),
			"interval": tfutil.DurationAttribute("Pause between two tries.", d.Interval, api.AppLivenessBounds()),
			"timeout":  tfutil.DurationAttribute("How long one answer may take.", d.Timeout, api.AppCheckBounds()),
			"failures": tfutil.NumberAttribute("How many tries in a row have to fail before the agent restarts the app.", int64(d.Failures), api.CheckRunBounds()),
		},
	}
}

func agentCheckAttribute() schema.Attribute {
	return tfutil.AgentCheckAttribute("TCP port on `address` where the agent tells load balancers in `trusted_proxies`, and nobody else, whether the app works, drains or is down; for the attribute of the same name of a server of " +
		"`foobar_load_balancer`. It notices a dead process within 0.1 s, and a hung one by `liveness`. " + tfutil.ListenText())
}
