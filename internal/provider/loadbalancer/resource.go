// Package loadbalancer is the resource and the data source foobar_load_balancer.
package loadbalancer

import (
	"github.com/hashicorp/terraform-plugin-framework/resource"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/provider/component"
)

const (
	typeName = "load_balancer"
	title    = "load balancer"
)

const description = "Spreads the requests of the world over servers, checks that they answer, and keeps what fails out of the way.\n\n" +
	"A change of weights and drains reaches the running engine without a reload; any other change is a reload that drops no request. " +
	"The `impact` in the plan tells which. What moves by itself, such as the state of each server, is in the data source of the same name."

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
		Description: description,
		Attributes:  attributes(),
		Renamed:     renamed(),
		Shared:      func(m *model) *component.Model { return &m.Model },
		Spec:        func(m model) (api.LoadBalancer, error) { return m.spec() },
		Show:        func(spec api.LoadBalancer, m *model) { m.settings = newSettings(spec) },
	}
}

// renamed is where the attributes are called otherwise than in the spec:
// "timeouts" is what Terraform calls its own.
func renamed() map[api.Pointer]api.Pointer {
	return map[api.Pointer]api.Pointer{"/timeouts": "/traffic_timeouts"}
}
