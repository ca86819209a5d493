package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// eventsWait is how long one call waits for the next event of an operation, in seconds.
	eventsWait = 20
	// agentPatience is how long an agent that does not answer may be away, as while it is
	// restarted, and agentPause how long to wait before it is asked again.
	agentPatience = 30 * time.Second
	agentPause    = 200 * time.Millisecond
)

// operate gives the agent an order about a component: restart, rollback, drain or
// undrain.
func operate(ctx context.Context, verb string, args []string, out io.Writer) error {
	flags, to := flag.NewFlagSet(verb, flag.ContinueOnError), new(int64)
	if verb == "rollback" {
		to = flags.Int64("to", 0, "")
	}
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	return order(ctx, newLocal(socketPath), verb, rest[0], *to, out)
}

// order gives an order; to is the generation that a rollback has to go back to, 0 for what
// served before the last change.
func order(ctx context.Context, agent local, verb, component string, to int64, out io.Writer) error {
	kind, name, both := strings.Cut(component, "/")
	if !both || api.CheckName(name) != nil {
		return fmt.Errorf("%q is no component: write a kind and a name, such as app-server/shop; foobar-agent status lists those of this machine", component)
	}
	if api.Kind(kind) == api.KindAppServer { // of other kinds the agent says what they can
		if err := known(ctx, agent, component); err != nil {
			return err
		}
	}
	var machine api.Health
	if err := agent.get(ctx, "/v1/health", &machine); err != nil {
		return err
	}
	path := "/v1/" + url.PathEscape(kind) + "/" + name + ":" + verb
	if verb == "drain" || verb == "undrain" {
		var drained api.Drained
		if err := agent.call(ctx, http.MethodPost, path, machine.Node, &drained); err != nil {
			return err
		}
		_, err := io.WriteString(out, drainText(verb, component, machine.Node, drained.Before, time.Now()))
		return err
	}
	if to != 0 {
		path += "?to=" + strconv.FormatInt(to, 10)
	}
	var op api.Operation
	if err := agent.call(ctx, http.MethodPost, path, machine.Node, &op); err != nil {
		return err
	}
	return follow(ctx, agent, verb, op, out)
}

// drainText says what a drain or its end has changed, given the drain before it.
func drainText(verb, component, machine string, before *api.Drain, now time.Time) string {
	lasted := ""
	if before != nil && !before.At.IsZero() {
		lasted = fmt.Sprintf(" for %s", max(0, now.Sub(before.At)).Round(time.Second))
	}
	const ends = "This lasts over releases and restarts, until the next boot or: foobar-agent undrain %s\n"
	switch {
	case verb == "drain" && before == nil:
		return fmt.Sprintf("Load balancers send %s on %s no new requests once their next health check has seen it. Requests that it has go on.\n"+ends, component, machine, component)
	case verb == "drain":
		return fmt.Sprintf("%s on %s was drained already%s, %s. Nothing was changed: load balancers send it no new requests.\n"+ends, component, machine, lasted, before, component)
	case before == nil:
		return fmt.Sprintf("%s on %s was not drained. Nothing was changed.\n", component, machine)
	}
	return fmt.Sprintf("%s on %s is not drained any more. It was drained%s, %s. Load balancers send it requests once their health checks find it healthy.\n", component, machine, lasted, before)
}

// known returns an error with what there is if the machine has no such component.
func known(ctx context.Context, agent local, component string) error {
	names, err := components(ctx, agent)
	if err != nil || slices.Contains(names, component) {
		return err
	}
	return fmt.Errorf("there is no component %s on this machine; it has: %s", component, cmp.Or(strings.Join(names, ", "), "none"))
}

// components returns the components of this machine, as app-server/shop.
func components(ctx context.Context, agent local) ([]string, error) {
	var listing api.Listing
	err := agent.get(ctx, "/v1/components", &listing)
	var names []string
	for _, listed := range listing.Components {
		names = append(names, listed.String())
	}
	return names, err
}

// follow shows an operation until it has ended. It fails as the operation does.
func follow(ctx context.Context, agent local, verb string, op api.Operation, out io.Writer) error {
	err := showEvents(ctx, agent, op.ID, out)
	if err == nil {
		err = agent.getPatiently(ctx, "/v1/operations/"+op.ID, &op)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the operation on %s goes on without you, unless it still waits and the agent is restarted; foobar-agent status shows what comes of it", op.Component)
	case err != nil:
		return fmt.Errorf("what comes of the operation on %s is not known, foobar-agent status shows it: %w", op.Component, err)
	case op.Problem != nil:
		return failure(op.Problem)
	}
	for _, warning := range op.Warnings {
		if _, err := fmt.Fprintf(out, "warning %s: %s\n", warning.Type, api.Visible(warning.Message)); err != nil {
			return err
		}
	}
	next := "The next terraform plan reads that."
	if verb == "rollback" {
		next = "The next terraform plan reads that, shows what differs from the configuration, and warns if it would change that back."
	}
	_, err = fmt.Fprintf(out, "%s is of generation %d now%s. %s\n", op.Component, op.Generation, andRuns(ctx, agent, op.Component), next)
	return err
}

// andRuns says which release an app server runs; nothing where that is not known.
func andRuns(ctx context.Context, agent local, id api.ID) string {
	var now api.Component
	if agent.get(ctx, "/v1/"+id.String(), &now) != nil || running(now) == "" {
		return ""
	}
	return ", and runs " + api.Visible(running(now))
}

// showEvents writes the events of an operation as they come, and returns once it has ended.
func showEvents(ctx context.Context, agent local, id string, out io.Writer) error {
	for after := int64(0); ; {
		var come api.Events
		if err := agent.getPatiently(ctx, fmt.Sprintf("/v1/operations/%s/events?after=%d&wait=%d", id, after, eventsWait), &come); err != nil {
			return err
		}
		for _, e := range come.Events {
			after = e.Seq
			if _, err := fmt.Fprintf(out, "%s %-8s %s\n", clock(e.Time), e.Phase, api.Visible(e.Message)); err != nil {
				return err
			}
		}
		if len(come.Events) > 0 {
			continue
		}
		var op api.Operation
		if err := agent.getPatiently(ctx, "/v1/operations/"+id, &op); err != nil || op.State.Done() {
			return err
		}
	}
}

// failure is the error of a failed operation, with the log that belongs to it.
func failure(problem *api.Problem) error {
	text := problem.Error()
	if len(problem.Log) > 0 {
		text += "\nThe last lines of its log:"
	}
	for _, line := range problem.Log {
		text += "\n  " + api.Visible(line)
	}
	return errors.New(text)
}
