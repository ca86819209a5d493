// Package loadbalancer is the resource and the data source foobar_load_balancer.
package loadbalancer

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/tfutil"
)

const (
	typeName = "load_balancer"
	title    = "load balancer"
)

// descriptionFormat is the text of [description], but for the methods.
const descriptionFormat = "Spreads the requests of the world over servers, checks that they answer, and keeps what fails out of the way.\n\n" +
	"A change of weights and drains reaches the running engine without a reload; any other change is a reload that drops no request. " +
	"The `impact` in the plan tells which. What moves by itself, such as the state of each server, is in the data source of the same name.\n\n" +
	"A request that a server did not answer goes to another one, at most three times, and at once. Requests with the methods %s are sent again " +
	"whenever a connection ended without an answer. Any other request is sent again only if no app has seen it, so that nothing is done twice: where the connection failed, " +
	"or where the server answered 425 (too early), as the nginx of a `foobar_app_server` does for an app that is not there. If that was the last try, the client gets 503. " +
	"What an app answers itself is final, also an error, except a 425 of its own: that request is sent again, also a `POST`. Requests larger than 16 kB are not sent again.\n\n" +
	"Up to 16 kB of a request's body are read before a server gets the request, for at most `traffic_timeouts.http_request`. " +
	"If no server of a backend passes its checks, the requests go to all of them unchecked, since then the check is more often wrong than every server. " +
	"The access log has the pool that served a request in `backend`: `web` or, for the other methods, `web.once`; `web.panic` and `web.panic.once` are those without checks. `retries` is how often it was sent again."

// description is what the docs say of the resource.
func description() string { return fmt.Sprintf(descriptionFormat, methodsText()) }

// model is the resource's model.
type model struct {
	component.Model
	settings
}

// New returns the resource foobar_load_balancer.
func New() resource.Resource {
	return component.New(kind())
}

func kind() component.Kind[model, api.LoadBalancer] {
	return component.Kind[model, api.LoadBalancer]{
		Kind:        api.KindLoadBalancer,
		TypeName:    typeName,
		Title:       title,
		Description: description(),
		Attributes:  attributes(),
		Renamed:     renamed(),
		Shared:      func(m *model) *component.Model { return &m.Model },
		Spec:        func(m model) (api.LoadBalancer, error) { return m.spec() },
		Show:        func(spec api.LoadBalancer, m *model) { m.settings = newSettings(spec) },
		Doubts:      func(m model) []tfutil.Doubt { return tfutil.TrustsAnybody(m.TrustedProxies, "") },
		Beside:      untrusting,
	}
}

// untrusting notes where the load balancer sends requests, and returns the servers whose app
// server, if it was planned before, does not list the load balancer.
func untrusting(walk *tfutil.Walk, machine tfutil.Machine, spec api.LoadBalancer) []api.Condition {
	var found []api.Condition
	self := tfutil.Balancer{Machine: machine.Name.ValueString(), IP: machine.IP()}
	for _, pool := range slices.Sorted(maps.Keys(spec.Backends)) {
		servers := spec.Backends[pool].Servers
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			ip, err := netip.ParseAddr(servers[name].Address)
			if err != nil {
				continue
			}
			at := netip.AddrPortFrom(ip.Unmap(), uint16(servers[name].Port)) //nolint:gosec // a port, as the spec is valid
			if front, known := walk.Reach(at, self); known {
				found = append(found, front.NotTrusted(self, api.Pointer("/backends").At(pool, "servers", name))...)
			}
		}
	}
	return found
}

// renamed is where the attributes are called otherwise than in the spec:
// "timeouts" is what Terraform calls its own.
func renamed() map[api.Pointer]api.Pointer {
	return map[api.Pointer]api.Pointer{"/timeouts": "/traffic_timeouts"}
}
