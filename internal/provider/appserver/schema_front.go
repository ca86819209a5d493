package appserver

import (
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

// What nginx does in front of the app.

const (
	underscoresText = "Whether request headers whose names have underscores reach the app. " +
		"Those that an app could take for one that nginx sets, such as `X_Forwarded_For`, never do."
	gzipText = "Whether nginx compresses text (HTML, CSS, JavaScript, JSON, XML, SVG and the like) from 1 KiB on for clients that accept it. " +
		"It costs CPU time, and an attacker who has a victim ask for pages can learn a secret of a page from the length of the compressed answer (BREACH), if the page also repeats a part of the request."
)

func requestLimitsAttribute(d api.AppRequestLimits) schema.Attribute {
	return schema.SingleNestedAttribute{
		MarkdownDescription: "How large a request may be.",
		Optional:            true,
		Computed:            true,
		Default: objectdefault.StaticValue(types.ObjectValueMust(
			map[string]attr.Type{"body_bytes": types.Int64Type, "header_bytes": types.Int64Type},
			map[string]attr.Value{"body_bytes": types.Int64Value(d.BodyBytes), "header_bytes": types.Int64Value(d.HeaderBytes)},
		)),
		Attributes: map[string]schema.Attribute{
			"body_bytes": bytesAttribute("How large the body of a request may be; a larger one is answered with 413.", d.BodyBytes),
			"header_bytes": tfutil.NumberAttribute("How large the request line and each header may be, in bytes; all of them together may have four times as much. "+
				"A longer request line is answered with 414, longer headers with 431.", d.HeaderBytes, api.HeaderByteBounds()),
		},
	}
}

func requestTimeoutsAttribute(d api.AppRequestTimeouts) schema.Attribute {
	bounds := api.RequestTimeoutBounds()
	return schema.SingleNestedAttribute{
		MarkdownDescription: "How long nginx waits for client and app. (How long Terraform waits for a change is in `timeouts`.)",
		Optional:            true,
		Computed:            true,
		Default: objectdefault.StaticValue(tfutil.DurationsObject(map[string]api.Duration{
			"headers": d.Headers, "body": d.Body, "send": d.Send, "app": d.App, "websocket": d.WebSocket,
		})),
		Attributes: map[string]schema.Attribute{
			"headers":   tfutil.DurationAttribute("How long the headers of a request may take to arrive. After that the connection is closed, which the access log shows as 408.", d.Headers, bounds),
			"body":      tfutil.DurationAttribute("How long a client may be silent while it sends a body. After that the connection is closed, which the access log shows as 408.", d.Body, bounds),
			"send":      tfutil.DurationAttribute("How long a client may take nothing of an answer. After that the connection is closed.", d.Send, bounds),
			"app":       tfutil.DurationAttribute("How long the app may be silent. Before an answer that is a 504; within one, the connection is closed. A load balancer does not send such a request to another server.", d.App, bounds),
			"websocket": tfutil.DurationAttribute("How long a WebSocket may be silent.", d.WebSocket, bounds),
		},
	}
}

func staticAttribute() schema.Attribute {
	nested := map[string]schema.Attribute{
		"directory": schema.StringAttribute{
			MarkdownDescription: fmt.Sprintf("Directory of the release: %s, at most %d characters. `.` is the whole release, for a site without a `command`.", api.StaticDirectoryRule, api.MaxStaticPath),
			Required:            true,
		},
		"cache": tfutil.DurationAttribute("How long a client may use a file without asking again, in whole seconds (`Cache-Control: public, max-age=…`); "+
			"with `0s` it asks each time whether the file has changed (`no-cache`).", api.DefaultStaticDirectory().Cache, api.StaticCacheBounds()),
	}
	return schema.MapNestedAttribute{
		MarkdownDescription: fmt.Sprintf("Directories of the release whose files nginx serves by itself, by URL prefix, at most %d of them; the longest prefix counts. "+
			"A prefix has to %s; it has at most %d characters and cannot be below `%s`. `GET` and `HEAD` requests get the file, or `index.html` where the URL ends with a slash; "+
			"all else goes to the app, or is a 404 where there is no `command`. "+
			"Prefixes and directories that change with a release are switched with it: each request is answered by one release. "+
			"nginx follows no symbolic links there, and serves nothing whose name begins with a dot, except `/.well-known/`. Default: none.",
			api.MaxStatic, api.StaticPrefixRule, api.MaxStaticPath, api.HealthPrefix),
		Optional: true,
		Computed: true,
		Default: mapdefault.StaticValue(types.MapValueMust(types.ObjectType{AttrTypes: map[string]attr.Type{
			"directory": types.StringType, "cache": tfutil.DurationType{},
		}}, nil)),
		NestedObject: schema.NestedAttributeObject{Attributes: nested},
	}
}

func responseHeadersAttribute() schema.Attribute {
	return schema.MapAttribute{
		MarkdownDescription: fmt.Sprintf("Headers that nginx sets on every answer, in place of the app's own, at most %d of them; an empty value removes the app's. "+
			"A name has %s, at most %d characters; not allowed are names that begin with `x-accel-`, and `%s`. "+
			"A value has %s, at most %d bytes; all of them together have at most %d. Default: none.",
			api.MaxResponseHeaders, api.ResponseHeaderNameRule, api.MaxResponseHeaderName, strings.Join(api.ReservedResponseHeaders(), "`, `"),
			api.ResponseHeaderValueRule, api.MaxResponseHeaderValue, api.MaxResponseHeaderBytes),
		ElementType: types.StringType,
		Optional:    true,
		Computed:    true,
		Default:     mapdefault.StaticValue(types.MapValueMust(types.StringType, nil)),
	}
}
