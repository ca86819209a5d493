package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// account is the user and the group of HAProxy's worker and of its checker.
const account = "haproxy"

// maxDetail bounds the engine's message in a violation, in bytes.
const maxDetail = 400

// Check runs HAProxy's own checker over the staged configuration. A warning is
// an error too. It sees by itself that the machine has the addresses to listen on,
// which the checker does not bind.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	spec, err := specOf(staged.Version.Spec)
	if err != nil {
		return err
	}
	elsewhere, err := k.elsewhere(spec)
	if err != nil {
		return err
	}
	path := pathsOf(staged.Name).config
	config, err := os.ReadFile(staged.Path(path))
	if err != nil {
		return fmt.Errorf("read the staged configuration: %w", err)
	}
	output, err := k.check(ctx, config)
	if err == nil && len(elsewhere) > 0 {
		return &api.Problem{Type: api.ProblemEngineRefused, Title: "The load balancer cannot run like this", Violations: elsewhere}
	}
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*checker.Refusal](err); !refused {
		return fmt.Errorf("check the configuration with haproxy -c: %w", err)
	}
	problem := refusal("HAProxy refuses the configuration", haproxy.ParseMessages(output), staged.Version.State.File(path).Sources)
	problem.Violations = append(elsewhere, problem.Violations...)
	return problem
}

// elsewhere returns the frontends whose address the machine does not have.
func (k *Kind) elsewhere(spec api.LoadBalancer) (api.Violations, error) {
	addresses, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var found api.Violations
	for _, name := range slices.Sorted(maps.Keys(spec.Frontends)) {
		if lacks := addresses.Lacks(spec.Frontends[name].Address); lacks != "" {
			found.Add(api.Pointer("/frontends").At(name, "address"), "%s", lacks)
		}
	}
	return found, nil
}

// runChecker checks a configuration in a sandbox. HAProxy's state file is not
// in it, which is no warning.
func runChecker(ctx context.Context, config []byte) (string, error) {
	return checker.Run(ctx, checker.Check{
		Program: program, Args: []string{"-dW", "-c", "-f", checker.ConfigPath}, Account: account, Config: config,
	})
}

// refusal turns what HAProxy printed into a problem that points at the places
// in the spec that the lines in question came from.
func refusal(title string, messages []haproxy.Message, sources map[int]api.Pointer) *api.Problem {
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: title}
	var elsewhere []string
	for _, m := range messages {
		if m.Level == haproxy.Notice {
			continue
		}
		problem.Log = append(problem.Log, m.Text)
		if p, ok := sources[m.Line]; ok {
			v := api.Violation{Pointer: refine(p, m.Text), Detail: api.Shorten(m.Text, maxDetail)}
			if !slices.Contains(problem.Violations, v) { // a restarted unit says it again
				problem.Violations = append(problem.Violations, v)
			}
		} else if m.Level == haproxy.Alert {
			elsewhere = append(elsewhere, m.Text)
		}
	}
	switch {
	case len(problem.Violations) > 0:
	case len(elsewhere) > 0:
		problem.Detail = api.Shorten(strings.Join(elsewhere, "; "), maxDetail)
	case len(problem.Log) > 0:
		problem.Detail = api.Shorten(strings.Join(problem.Log, "; "), maxDetail)
	default:
		problem.Detail = "it gave no reason"
	}
	return problem
}

// refine points at the half of a "bind" line that a failure is about.
func refine(p api.Pointer, message string) api.Pointer {
	switch {
	case len(p.Steps()) != 2 || p.Steps()[0] != "frontends":
		return p
	case strings.Contains(message, "Address already in use"), strings.Contains(message, "Permission denied"):
		return p.At("port")
	case strings.Contains(message, "Cannot assign requested address"):
		return p.At("address")
	}
	return p
}
