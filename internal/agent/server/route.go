package server

import (
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// roleLocal is the role of a caller on the machine's own socket, who is root
// there. No certificate can carry it.
const roleLocal api.Role = "local"

// route is one thing that the agent can be asked to do, and by whom.
type route struct {
	method string
	// pattern is the path. A segment may hold one {parameter}, with literal
	// text before and after it: "{name}:plan", "sha256:{sha256}".
	pattern string
	// roles are who may call it; nobody else may.
	roles []api.Role
	// fresh routes answer also before the machine is enrolled; on the local
	// socket all do.
	fresh bool
	// mutates tells that the call changes something: it has to name the
	// machine that it is meant for, and is audited.
	mutates bool
	// body bounds the request's body, in bytes.
	body   int64
	handle func(*Server, *call) (answer, error)
}

// routes is everything that the agent answers. The table is the router: a mux
// cannot be listed, takes a path segment only whole, and has answers of its
// own, whereas here nothing is reachable but through a row, and a test walks
// the rows. Of two rows that match, the first is taken, so literal paths stand
// before those with {kind}.
func routes() []route {
	var (
		admin   = []api.Role{api.RoleAdmin}
		locals  = []api.Role{roleLocal}
		admins  = []api.Role{api.RoleAdmin, roleLocal}
		readers = []api.Role{api.RoleAdmin, api.RoleReader, roleLocal}
		remote  = []api.Role{api.RoleAdmin, api.RoleReader}
		nodes   = []api.Role{api.RoleNode}
		all     = append(api.Roles(), roleLocal)
	)
	const none, body, chunk = 0, api.MaxBody, api.MaxChunk
	return []route{
		{"GET", "/v1/health", all, true, false, none, (*Server).health},
		{"GET", "/v1/info", all, false, false, none, (*Server).info},
		{"POST", "/v1/enroll", admin, true, true, body, (*Server).enroll},
		{"POST", "/v1/enroll:finish", admin, true, true, body, (*Server).enrollFinish},
		{"POST", "/v1/identity:renew", admin, false, true, body, (*Server).renew},

		{"GET", "/v1/components", readers, false, false, none, (*Server).list},
		{"GET", "/v1/operations/{id}", readers, false, false, none, (*Server).operation},
		{"GET", "/v1/operations/{id}/events", readers, false, false, none, (*Server).events},
		// What an app writes is not redacted here, as it is in its component.
		{"GET", "/v1/logs", admins, false, false, none, (*Server).logs},
		{"GET", "/v1/audit", readers, false, false, none, (*Server).auditLog},
		{"GET", "/v1/audit/refused", readers, false, false, none, (*Server).refusedLog},

		{"HEAD", "/v1/blobs/sha256:{sha256}", admin, false, false, none, (*Server).blobStatus},
		{"PATCH", "/v1/blobs/sha256:{sha256}", admin, false, true, chunk, (*Server).blobAppend},
		{"PUT", "/v1/blobs/sha256:{sha256}", admin, false, true, none, (*Server).blobFinish},

		{"GET", "/v1/leaves/{name}", admin, false, false, none, (*Server).leaf},
		{"POST", "/v1/leaves/{name}", admin, false, true, body, (*Server).leafRequest},
		{"PUT", "/v1/leaves/{name}", admin, false, true, body, (*Server).leafStore},

		{"PUT", "/v1/replications/{name}/membership", admin, false, true, body, (*Server).enlist},
		{"DELETE", "/v1/replications/{name}/membership", admins, false, true, none, (*Server).leave},
		{"GET", "/v1/replications/{name}/component", nodes, false, false, none, (*Server).applied},
		{"PUT", "/v1/replications/{name}", nodes, false, true, body, (*Server).updateConfig},
		{"GET", "/v1/replications/{name}/view", nodes, false, false, none, (*Server).view},
		{"GET", "/v1/replications/{name}/record", nodes, false, false, none, (*Server).ballot},
		{"POST", "/v1/replications/{name}/orders", nodes, false, true, body, (*Server).order},
		{"PUT", "/v1/replications/{name}/lock", nodes, false, true, body, (*Server).lock},
		{"DELETE", "/v1/replications/{name}/lock", nodes, false, true, body, (*Server).unlock},
		{"GET", "/v1/replications/{name}/copy", nodes, false, false, none, (*Server).copy},

		{"GET", "/v1/leftovers", locals, false, false, none, (*Server).allLeftovers},
		{"GET", "/v1/leftovers/{kind}/{name}", locals, false, false, none, (*Server).leftovers},
		{"DELETE", "/v1/leftovers/{kind}/{name}", locals, false, true, none, (*Server).purge},

		// Terraform has none of these: it changes the configuration, and applies it.
		{"POST", "/v1/{kind}/{name}:restart", locals, false, true, none, (*Server).restart},
		{"POST", "/v1/{kind}/{name}:rollback", locals, false, true, none, (*Server).rollback},
		{"POST", "/v1/{kind}/{name}:drain", locals, false, true, none, (*Server).drain},
		{"POST", "/v1/{kind}/{name}:undrain", locals, false, true, none, (*Server).undrain},

		{"GET", "/v1/{kind}/{name}", readers, false, false, none, (*Server).get},
		{"POST", "/v1/{kind}/{name}:plan", remote, false, false, body, (*Server).plan},
		{"PUT", "/v1/{kind}/{name}:own", admin, false, true, body, (*Server).own},
		{"PUT", "/v1/{kind}/{name}", admin, false, true, body, (*Server).put},
		{"DELETE", "/v1/{kind}/{name}", admin, false, true, body, (*Server).delete},
	}
}

// allows reports whether a role is one of the route's.
func (r route) allows(role api.Role) bool { return slices.Contains(r.roles, role) }

// find returns the first route that answers a request, with the values of its
// parameters.
func find(table []route, method, path string) (route, map[string]string, bool) {
	for _, r := range table {
		if r.method != method {
			continue
		}
		if params, ok := match(r.pattern, path); ok {
			return r, params, true
		}
	}
	return route{}, nil, false
}

// match compares a path with a pattern, segment by segment.
func match(pattern, path string) (params map[string]string, ok bool) {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	params = map[string]string{}
	for i, segment := range want {
		prefix, rest, parametric := strings.Cut(segment, "{")
		if !parametric {
			if segment != got[i] {
				return nil, false
			}
			continue
		}
		name, suffix, _ := strings.Cut(rest, "}")
		value, ok := inner(got[i], prefix, suffix)
		if !ok {
			return nil, false
		}
		params[name] = value
	}
	return params, true
}

// inner returns what stands between prefix and suffix. It must be something,
// and hold no colon, which begins a verb.
func inner(text, prefix, suffix string) (string, bool) {
	text, begins := strings.CutPrefix(text, prefix)
	text, ends := strings.CutSuffix(text, suffix)
	return text, begins && ends && text != "" && !strings.Contains(text, ":")
}
