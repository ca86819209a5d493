package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// planTimeout bounds a dry run, in which an engine checks its configuration.
const planTimeout = 2 * time.Minute

// Health returns how the machine is.
func (m *Machine) Health(ctx context.Context) (api.Health, error) {
	return get[api.Health](ctx, m, "/v1/health", nil)
}

// Info returns what the machine and its agent are.
func (m *Machine) Info(ctx context.Context) (api.Info, error) {
	return get[api.Info](ctx, m, "/v1/info", nil)
}

// Components lists the components of the machine.
func (m *Machine) Components(ctx context.Context) (api.Listing, error) {
	return get[api.Listing](ctx, m, "/v1/components", nil)
}

// Get returns a component. If there is none the error is an [api.Problem] of
// type not-found, from a machine that has proved to be the one meant.
func (m *Machine) Get(ctx context.Context, id api.ID) (api.Component, error) {
	return get[api.Component](ctx, m, componentPath(id), nil)
}

// Operation returns an operation.
func (m *Machine) Operation(ctx context.Context, id string) (api.Operation, error) {
	return get[api.Operation](ctx, m, operationPath(id), nil)
}

// Logs returns the last lines of a unit, oldest first.
func (m *Machine) Logs(ctx context.Context, unit string, lines int) ([]api.LogLine, error) {
	query := url.Values{"unit": {unit}, "lines": {strconv.Itoa(lines)}}
	logs, err := get[api.Logs](ctx, m, "/v1/logs", query)
	return logs.Lines, err
}

// Audit returns the audit entries after the one with number seq, oldest
// first, at most a thousand.
func (m *Machine) Audit(ctx context.Context, seq int64) ([]api.AuditEntry, error) {
	return m.auditOf(ctx, "/v1/audit", seq)
}

// Refused returns the entries of refused calls after the one with number seq, as
// Audit does.
func (m *Machine) Refused(ctx context.Context, seq int64) ([]api.AuditEntry, error) {
	return m.auditOf(ctx, "/v1/audit/refused", seq)
}

func (m *Machine) auditOf(ctx context.Context, path string, seq int64) ([]api.AuditEntry, error) {
	audit, err := get[api.Audit](ctx, m, path, url.Values{"after": {strconv.FormatInt(seq, 10)}})
	return audit.Entries, err
}

// Plan asks for a dry run of a write that is based on generation base. It
// changes nothing; secrets are not sent.
func (m *Machine) Plan(ctx context.Context, id api.ID, base int64, write api.Write) (api.Plan, error) {
	write.Secrets = nil
	var plan api.Plan
	_, err := m.do(ctx, call{
		method: http.MethodPost, path: componentPath(id) + ":plan",
		header: http.Header{api.HeaderGeneration: {strconv.FormatInt(base, 10)}},
		body:   api.Encode(write), timeout: planTimeout,
	}, &plan)
	return plan, err
}

// Own makes a resource the owner of a component, and changes nothing else of
// it. An [api.ProblemOwned] says that it belongs to a third.
func (m *Machine) Own(ctx context.Context, id api.ID, claiming api.Claiming) (api.Ownership, error) {
	var ownership api.Ownership
	_, err := m.do(ctx, call{method: http.MethodPut, path: componentPath(id) + ":own", body: api.Encode(claiming)}, &ownership)
	return ownership, err
}

// Require returns a [TooOld] if the agent that gave info lacks API version v1
// or one of the features.
func Require(info api.Info, features ...string) error {
	var missing []string
	if !slices.Contains(info.APIVersions, "v1") {
		missing = append(missing, "API v1")
	}
	for _, feature := range features {
		if !slices.Contains(info.Features, feature) {
			missing = append(missing, feature)
		}
	}
	if missing == nil {
		return nil
	}
	return &TooOld{Machine: info.Node, Version: info.Version, Missing: missing}
}

func get[T any](ctx context.Context, m *Machine, path string, query url.Values) (T, error) {
	var out T
	_, err := m.do(ctx, call{method: http.MethodGet, path: path, query: query}, &out)
	return out, err
}

func componentPath(id api.ID) string {
	return "/v1/" + url.PathEscape(string(id.Kind)) + "/" + url.PathEscape(id.Name)
}

func operationPath(id string) string { return "/v1/operations/" + url.PathEscape(id) }
