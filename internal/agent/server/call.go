package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// call is a request that was let through, with what its handler needs to know.
type call struct {
	*http.Request
	caller Caller
	params map[string]string
	// detail is what the audit log tells of the call beyond its path.
	detail string
}

// answer is what a handler answers; nothing is sent before it is audited.
type answer struct {
	status int
	// body becomes JSON; nil means none.
	body   any
	header http.Header
	// operation is the id of the operation that the call started or joined.
	operation string
	// stream, if it is set, writes the body as it comes; see [Server.stream].
	stream func(to io.Writer) error
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// invalid is the problem of a request that is wrong outside of its spec.
func invalid(format string, args ...any) error {
	return &api.Problem{Type: api.ProblemInvalid, Title: "The request is not valid", Detail: fmt.Sprintf(format, args...)}
}

// component returns the component that the path names.
func (c *call) component() (api.ID, error) {
	id := api.ID{Kind: api.Kind(c.params["kind"]), Name: c.params["name"]}
	if !slices.Contains(api.Kinds(), id.Kind) {
		return id, invalid("this agent has no kind %q; it has: %s", id.Kind, listed(api.Kinds()))
	}
	if err := api.CheckName(id.Name); err != nil {
		return id, invalid("the component's name: %v", err)
	}
	return id, nil
}

// generation returns the generation that the call is based on.
func (c *call) generation() (int64, error) {
	text := c.Header.Get(api.HeaderGeneration)
	if text == "" {
		return 0, invalid("the header %s is missing: it holds the generation that the change is based on, 0 to create", api.HeaderGeneration)
	}
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("the header %s is %q, which is no generation: give a whole number, 0 to create", api.HeaderGeneration, text)
	}
	return n, nil
}

// checkOperation reports whether the call carries the id that follows from all
// that its operation depends on. A caller that computes another one could not
// find its operation again.
func (c *call) checkOperation(want string) error {
	switch got := c.Header.Get(api.HeaderOperation); got {
	case want:
		return nil
	case "":
		return invalid("the header %s is missing: it holds the operation's id, here %s", api.HeaderOperation, want)
	default:
		return invalid("the header %s is %q, but the id of this change is %s: it is derived from verb, kind, name, %s and spec",
			api.HeaderOperation, got, want, api.HeaderGeneration)
	}
}

// query returns a whole number of the query, or fallback where it is not given.
func (c *call) query(name string, fallback, least int64) (int64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least {
		return 0, invalid("the query's %s is %q: give a whole number from %d", name, text, least)
	}
	return n, nil
}

// read returns the whole body.
func (c *call) read() ([]byte, error) {
	data, err := io.ReadAll(c.Body)
	if err != nil {
		return nil, bodyProblem(err)
	}
	return data, nil
}

// decode reads the body strictly into v.
func (c *call) decode(v any) error {
	data, err := c.read()
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return invalid("the body is missing: %s %s takes a JSON document", c.Method, c.URL.Path)
	}
	return api.Decode(data, v)
}

// bodyProblem tells a body that is too long from one that broke off.
func bodyProblem(err error) error {
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return invalid("the body is longer than the %d bytes that are read", long.Limit)
	}
	return invalid("the body broke off: %v", err)
}

// listed joins values for an error text.
func listed[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}

// isObject reports whether a JSON text is an object.
func isObject(text json.RawMessage) bool {
	return strings.HasPrefix(strings.TrimLeft(string(text), " \t\r\n"), "{")
}

// seconds returns n seconds, at most limit.
func seconds(n int64, limit time.Duration) time.Duration {
	return min(time.Duration(min(n, int64(limit/time.Second)))*time.Second, limit)
}
