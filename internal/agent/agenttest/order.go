package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// anyKind is embedded under a name of its own: an operable has a method Kind.
type anyKind = Kind

// operable is a kind whose components take an operator's orders.
type operable struct {
	*anyKind
	mu      sync.Mutex
	drained map[string]*api.Drain
}

var _ operation.Operable = (*operable)(nil)

// Drain notes by whom a component is drained first.
func (o *operable) Drain(name, by string) (*api.Drain, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.drained == nil {
		o.drained = map[string]*api.Drain{}
	}
	before := o.drained[name]
	if before == nil {
		o.drained[name] = &api.Drain{By: by, At: time.Now()}
	}
	return before, nil
}

// Undrain forgets it.
func (o *operable) Undrain(name string) (*api.Drain, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.drained[name]
	delete(o.drained, name)
	return before, nil
}

// Release is that of the real kind.
func (o *operable) Release(spec operation.Spec) string {
	return new(appserver.Kind).Release(spec)
}

// Drained returns by whom an app server was drained, "" if it is not.
func (m *Machine) Drained(name string) string {
	m.apps.mu.Lock()
	defer m.apps.mu.Unlock()
	if drain := m.apps.drained[name]; drain != nil {
		return drain.By
	}
	return ""
}

// Order gives an order on the machine's own socket, such as "app-server/shop:rollback",
// and returns how its operation ended.
func (m *Machine) Order(ctx context.Context, order string) (api.Operation, error) {
	agent := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", m.Socket())
	}}}
	defer agent.CloseIdleConnections()
	op, err := m.ask(ctx, agent, "POST", "/v1/"+order)
	for err == nil && !op.State.Done() {
		if _, err = m.ask(ctx, agent, "GET", "/v1/operations/"+op.ID+"/events?wait=1&after=1000"); err == nil {
			op, err = m.ask(ctx, agent, "GET", "/v1/operations/"+op.ID)
		}
	}
	if err == nil && op.Problem != nil {
		err = op.Problem
	}
	return op, err
}

func (m *Machine) ask(ctx context.Context, client *http.Client, method, path string) (op api.Operation, err error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return op, err
	}
	request.Header.Set(api.HeaderMachine, m.config.Node)
	response, err := client.Do(request)
	if err != nil {
		return op, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if response.StatusCode >= http.StatusBadRequest {
		problem := new(api.Problem)
		if err := json.NewDecoder(response.Body).Decode(problem); err != nil {
			return op, fmt.Errorf("%s %s: %s", method, path, response.Status)
		}
		return op, problem
	}
	return op, json.NewDecoder(response.Body).Decode(&op)
}
