package appserver

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework-validators/listvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/mapvalidator"
	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// attributes returns the schema of [settings].
func attributes() map[string]schema.Attribute {
	defaults := api.DefaultAppServer()
	return map[string]schema.Attribute{
		"release": releaseAttribute(defaults.Release),
		"command": schema.ListAttribute{
			MarkdownDescription: fmt.Sprintf("The program and its arguments, run in the release's directory without a shell; at most %d bytes. "+
				"A program without a slash is looked up in the system's `PATH`; `./bin/app` is one of the release. "+
				"Of its path, allowed are %s. In the arguments, `$SOCKET` or `$PORT` is replaced, whichever the app has, and `$$` is a dollar sign. "+
				"May be left out only for a site of files: with `/` in `static`, and nothing else that an app would need.", api.MaxCommand, api.ProgramRule),
			ElementType: types.StringType,
			Optional:    true,
		},
		"app_ports": schema.ListAttribute{
			MarkdownDescription: fmt.Sprintf("For an app that cannot listen on a Unix socket: two loopback TCP ports, one for the old and one for the new release, "+
				"each %s. The app reads its own in `$PORT`. %s With `strategy = \"restart\"` one is enough. "+
				"A change reloads nginx, which closes idle connections then: see the guide *Apps*. "+
				"Default: none, the app listens on the Unix socket in `$SOCKET`, which is faster.", api.AppPortBounds(), tfutil.ListenText()),
			ElementType: types.Int64Type,
			Optional:    true,
			Validators:  []validator.List{listvalidator.SizeAtLeast(1)},
		},
		"address": tfutil.TextAttribute("Address that nginx listens on: "+api.ListenRule+".", defaults.Address),
		"port":    tfutil.PortAttribute("TCP port that nginx listens on. " + tfutil.ListenText()),
		"trusted_proxies": tfutil.NetworksAttribute("Addresses of the load balancers in front, as networks (CIDR), such as `10.0.0.10/32`. " +
			"nginx takes the client's address from the `X-Forwarded-For` header of their requests, and ignores that header in all others. " +
			"While the app is down, a listed load balancer gets the answer `425`, and sends the request to another server, if the app has not seen it or if it is a `GET`, `HEAD`, `OPTIONS`, `PUT` or `DELETE` without an answer. " +
			"Any other request, and everybody else, gets `502`. With `0.0.0.0/0` every client counts as a load balancer."),
		"request_limits":         requestLimitsAttribute(defaults.RequestLimits),
		"request_timeouts":       requestTimeoutsAttribute(defaults.RequestTimeouts),
		"underscores_in_headers": tfutil.FlagAttribute(underscoresText, defaults.UnderscoresInHeaders),
		"static":                 staticAttribute(),
		"response_headers":       responseHeadersAttribute(),
		"gzip":                   tfutil.FlagAttribute(gzipText, defaults.Gzip),
		"environment": schema.MapAttribute{
			MarkdownDescription: "Environment variables of the app. What is secret belongs in `secrets_wo`; a plan warns of a name or a URL that looks like one. " + environmentText() + " Default: none.",
			ElementType:         types.StringType,
			Optional:            true,
			Computed:            true,
			Default:             mapdefault.StaticValue(types.MapValueMust(types.StringType, nil)),
		},
		"secrets_wo": schema.MapAttribute{
			MarkdownDescription: "Secret environment variables of the app. Terraform keeps them neither in the plan nor in the state; " +
				"raise `secrets_wo_version` when one of them changes. " + tfutil.SecretText() + " " + environmentText(),
			ElementType: types.StringType,
			Optional:    true,
			Sensitive:   true,
			WriteOnly:   true,
			Validators: []validator.Map{
				mapvalidator.SizeAtLeast(1),
			},
		},
		"secrets_wo_version": schema.Int64Attribute{
			MarkdownDescription: "Version of `secrets_wo`: 1, then one more with each change of a secret.",
			Optional:            true,
			Validators: []validator.Int64{
				tfutil.Version(),
				int64validator.AlsoRequires(path.MatchRoot("secrets_wo")),
			},
		},
		"health_check": healthCheckAttribute(defaults.HealthCheck),
		"strategy": tfutil.TextAttribute("How a release takes the place of the one before it; another command, environment, secret or limit is a release too. "+
			"`blue_green`: it starts beside the old one, which serves until the new one is healthy; no request is lost, and the machine needs memory for both. "+
			"`restart`: the old one is stopped first, and nothing answers until the new one is up.", string(defaults.Strategy)),
		"drain_timeout": tfutil.DurationAttribute("How long the old release may finish its requests and streams after the traffic goes to the new one. Then it is stopped, and what is still open is cut: a warning of the apply gives the number. "+
			"The apply waits for that, and its log says so. If one of `timeouts` is over first, the apply succeeds all the same: the old release drains on, and the next change of the app server waits for it. "+
			"A new release that fails after it got requests drains for at most a minute.", defaults.DrainTimeout, api.AppStartBounds()),
		"stop_timeout": tfutil.DurationAttribute("How long the app may take to end after SIGTERM. Then it gets SIGKILL. This is how the agent stops an old release after its drain, a release that failed, and an app that `liveness` or `foobar-agent restart` restarts.", defaults.StopTimeout, api.AppStartBounds()),
		"restart_trigger": schema.StringAttribute{
			MarkdownDescription: fmt.Sprintf("Any text, at most %d bytes, such as the checksum of a file that the app reads at its start: another one is a release. Default: none.", api.MaxTrigger),
			Optional:            true,
			Validators:          []validator.String{stringvalidator.LengthAtLeast(1)},
		},
		"limits":           limitsAttribute(defaults.Limits),
		"logs":             logsAttribute(defaults.Logs),
		"liveness":         livenessAttribute(),
		"agent_check_port": agentCheckAttribute(),
	}
}

// environmentText says in the docs what variables may be, secret or not.
func environmentText() string {
	return fmt.Sprintf("A name has %s, at most %d characters; `%s` and names that begin with `FOOBAR_` are taken. A value has at most %d bytes, and all of them together %d.",
		api.EnvironmentNameRule, api.MaxEnvironmentName, strings.Join(api.ReservedEnvironment(), "`, `"), api.MaxEnvironmentValue, api.MaxEnvironment)
}

func releaseAttribute(defaults api.Release) schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "The artifact that runs, known by its checksum: a tar file that is compressed with gzip or zstd, or a static program, which becomes `./" + artifact.Program + "`. " +
			"The guide *Artifacts* says what it may hold, and where the app may write.",
		Required:   true,
		Validators: []validator.Object{hasArtifact{}},
		Attributes: map[string]schema.Attribute{
			"source": schema.StringAttribute{
				MarkdownDescription: "Path of the artifact on the computer on which Terraform runs. The plan reads and checks the file. The apply uploads it if the machine does not have it. " +
					"The path is not kept in the state, so moving the file is no change. Once a release is applied, the file is needed only for another release, or for a rebuilt machine.",
				Optional:   true,
				WriteOnly:  true,
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"sha256": schema.StringAttribute{
				MarkdownDescription: "SHA-256 of the artifact, in lower-case hexadecimal. Default: that of `source`; where both are given and differ, the plan fails.",
				Optional:            true,
				Computed:            true,
			},
			"max_bytes": bytesAttribute("How large the release may be when it is unpacked.", defaults.MaxBytes),
			"signature": schema.StringAttribute{
				MarkdownDescription: fmt.Sprintf("Signature of the artifact, as minisign makes it: the content of its `.minisig` file, at most %d bytes. The plan checks it where it reads the file, and the machine before it unpacks anything. "+
					"Needs `public_keys`. Default: none, the checksum alone decides.", api.MaxSignature),
				Optional:   true,
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"public_keys": schema.ListAttribute{
				MarkdownDescription: fmt.Sprintf("minisign public keys, of which one has to have made `signature`: the content of a `.pub` file, or its second line. At most %d: the second is for the time in which the first is replaced. Needs `signature`.", api.MaxPublicKeys),
				ElementType:         types.StringType,
				Optional:            true,
				Validators:          []validator.List{listvalidator.SizeAtLeast(1)},
			},
		},
	}
}

func bytesAttribute(description string, fallback int64) schema.Int64Attribute {
	return bytesWithin(description, fallback, api.ByteBounds())
}

func bytesWithin(description string, fallback int64, bounds api.Bounds) schema.Int64Attribute {
	return schema.Int64Attribute{
		MarkdownDescription: fmt.Sprintf("%s In bytes, such as `512 * 1024 * 1024` for 512 MiB: %s; default `%d` (%s).", description, bounds, fallback, binary(fallback)),
		Optional:            true,
		Computed:            true,
		Default:             int64default.StaticInt64(fallback),
	}
}

// binary writes a number of bytes in the largest unit that keeps it whole.
func binary(n int64) string {
	if n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func healthCheckAttribute(d api.AppHealthCheck) schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "A `GET` request that the app itself has to answer with 200 before it counts as started. " +
			"A release that does not get there makes way for the one before it.",
		Optional: true,
		Computed: true,
		Default:  objectdefault.StaticValue(defaultHealthCheck(d)),
		Attributes: map[string]schema.Attribute{
			"path":          tfutil.TextAttribute(fmt.Sprintf("Path of the request, outside of `%s`: %s.", api.HealthPrefix, tfutil.PathText()), d.Path),
			"interval":      tfutil.DurationAttribute("Pause between two tries.", d.Interval, api.AppCheckBounds()),
			"timeout":       tfutil.DurationAttribute("How long one answer may take. A plan and the data source wait 10 s at most for it.", d.Timeout, api.AppCheckBounds()),
			"successes":     tfutil.NumberAttribute("How many good answers in a row make the app healthy.", int64(d.Successes), api.CheckRunBounds()),
			"start_timeout": tfutil.DurationAttribute("How long a started app may take to become healthy. Then it is stopped, and the apply fails. `timeouts` must leave time for it; a plan warns if they do not.", d.StartTimeout, api.AppStartBounds()),
			"min_healthy_time": tfutil.DurationAttribute("How long a new release has to stay healthy before the traffic goes to it. "+
				"The first release of an app server does not wait for it. It has to be shorter than `timeouts.update`.", d.MinHealthyTime, api.AppHoldBounds()),
		},
	}
}

func defaultHealthCheck(d api.AppHealthCheck) types.Object {
	return types.ObjectValueMust(
		map[string]attr.Type{
			"path":             types.StringType,
			"interval":         tfutil.DurationType{},
			"timeout":          tfutil.DurationType{},
			"successes":        types.Int64Type,
			"start_timeout":    tfutil.DurationType{},
			"min_healthy_time": tfutil.DurationType{},
		},
		map[string]attr.Value{
			"path":             types.StringValue(d.Path),
			"interval":         tfutil.NewDuration(d.Interval),
			"timeout":          tfutil.NewDuration(d.Timeout),
			"successes":        types.Int64Value(int64(d.Successes)),
			"start_timeout":    tfutil.NewDuration(d.StartTimeout),
			"min_healthy_time": tfutil.NewDuration(d.MinHealthyTime),
		},
	)
}
