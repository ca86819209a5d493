package appserver

import (
	"maps"
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

type requestLimits struct {
	BodyBytes   *int64 `tfsdk:"body_bytes"`
	HeaderBytes *int64 `tfsdk:"header_bytes"`
}

type requestTimeouts struct {
	Headers   *string `tfsdk:"headers"`
	Body      *string `tfsdk:"body"`
	Send      *string `tfsdk:"send"`
	App       *string `tfsdk:"app"`
	WebSocket *string `tfsdk:"websocket"`
}

type staticDirectory struct {
	Directory string  `tfsdk:"directory"`
	Cache     *string `tfsdk:"cache"`
}

func (l *requestLimits) spec() api.AppRequestLimits {
	defaults := api.DefaultAppServer().RequestLimits
	if l == nil {
		return defaults
	}
	return api.AppRequestLimits{
		BodyBytes:   tfutil.Or(l.BodyBytes, defaults.BodyBytes),
		HeaderBytes: tfutil.Or(l.HeaderBytes, defaults.HeaderBytes),
	}
}

func (t *requestTimeouts) spec(durations *tfutil.Durations, at api.Pointer) api.AppRequestTimeouts {
	defaults := api.DefaultAppServer().RequestTimeouts
	if t == nil {
		return defaults
	}
	return api.AppRequestTimeouts{
		Headers:   durations.Or(t.Headers, defaults.Headers, at.At("headers")),
		Body:      durations.Or(t.Body, defaults.Body, at.At("body")),
		Send:      durations.Or(t.Send, defaults.Send, at.At("send")),
		App:       durations.Or(t.App, defaults.App, at.At("app")),
		WebSocket: durations.Or(t.WebSocket, defaults.WebSocket, at.At("websocket")),
	}
}

func newRequestTimeouts(t api.AppRequestTimeouts) *requestTimeouts {
	return &requestTimeouts{
		Headers:   new(t.Headers.String()),
		Body:      new(t.Body.String()),
		Send:      new(t.Send.String()),
		App:       new(t.App.String()),
		WebSocket: new(t.WebSocket.String()),
	}
}

func static(given map[string]staticDirectory, durations *tfutil.Durations, at api.Pointer) map[string]api.StaticDirectory {
	spec := make(map[string]api.StaticDirectory, len(given))
	for _, prefix := range slices.Sorted(maps.Keys(given)) { // so that problems are in one order
		d := given[prefix]
		spec[prefix] = api.StaticDirectory{
			Directory: d.Directory,
			Cache:     durations.Or(d.Cache, api.DefaultStaticDirectory().Cache, at.At(prefix).At("cache")),
		}
	}
	return spec
}

func newStatic(spec map[string]api.StaticDirectory) map[string]staticDirectory {
	shown := make(map[string]staticDirectory, len(spec))
	for prefix, d := range spec {
		shown[prefix] = staticDirectory{Directory: d.Directory, Cache: new(d.Cache.String())}
	}
	return shown
}

// command returns the command of a spec, which is never nil.
func command(given []string) []string {
	if given == nil {
		return []string{}
	}
	return given
}

// shownCommand is the inverse of [command]: a site of files has none.
func shownCommand(spec []string) []string {
	if len(spec) == 0 {
		return nil
	}
	return spec
}
