package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	agentUnit    = "foobar-agent.service"
	defaultLines = 50
)

func showLogs(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	n := flags.Int("n", defaultLines, "")
	app := flags.Bool("app", false, "")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	names, err := units(rest[0])
	if err != nil {
		return err
	}
	if *app && !strings.HasPrefix(rest[0], string(api.KindAppServer)+"/") {
		return usageError(fmt.Sprintf("-app is for an app server, such as app-server/shop; %s has one log", rest[0]))
	}
	if *app {
		names = slices.DeleteFunc(names, func(unit string) bool { return strings.HasSuffix(unit, "-nginx.service") })
	}
	agent := newLocal(socketPath)
	lines, err := readLogs(ctx, agent, names, *n)
	if err == nil && len(lines) == 0 {
		err = exists(ctx, agent, rest[0])
	}
	if err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(out, "%s %s: %s\n", clock(line.Time), api.Visible(strings.TrimSuffix(line.Unit, ".service")), api.Visible(line.Message)); err != nil {
			return err
		}
	}
	return nil
}

// units returns the units whose logs are a component's.
func units(component string) ([]string, error) {
	if component == "agent" {
		return []string{agentUnit}, nil
	}
	kind, name, both := strings.Cut(component, "/")
	if !both {
		return nil, fmt.Errorf("%q is no component: write agent, or a kind and a name, such as load-balancer/www; foobar-agent status lists those of this machine", component)
	}
	if err := api.CheckName(name); err != nil {
		return nil, fmt.Errorf("%q is no component: %w", component, err)
	}
	switch api.Kind(kind) {
	case api.KindDBServer:
		return []string{"foobar-db-" + name + ".service"}, nil
	case api.KindDBReplication:
		return []string{agentUnit}, nil // the agents do all of it
	case api.KindLoadBalancer:
		return []string{"foobar-lb-" + name + ".service"}, nil
	case api.KindAppServer:
		app := "foobar-app-" + name
		return []string{app + "@blue.service", app + "@green.service", app + "-nginx.service"}, nil
	}
	return nil, fmt.Errorf("%q is no kind of component; there are %q", kind, api.Kinds())
}

// exists returns an error if the machine has no such component. One that was
// removed may have logs still.
func exists(ctx context.Context, agent local, component string) error {
	if component == "agent" {
		return nil
	}
	names, err := components(ctx, agent)
	if err != nil || slices.Contains(names, component) {
		return err
	}
	return fmt.Errorf("this machine has no component %s, and no logs of one; it has logs of: %s", component, strings.Join(append([]string{"agent"}, names...), ", "))
}

// readLogs returns the last n lines of some units together, oldest first.
func readLogs(ctx context.Context, agent local, units []string, n int) ([]api.LogLine, error) {
	var all []api.LogLine
	for _, unit := range units {
		var read api.Logs
		query := url.Values{"unit": {unit}, "lines": {strconv.Itoa(n)}}
		if err := agent.get(ctx, "/v1/logs?"+query.Encode(), &read); err != nil {
			return nil, err
		}
		all = append(all, read.Lines...)
	}
	slices.SortStableFunc(all, func(a, b api.LogLine) int { return a.Time.Compare(b.Time) })
	return all[max(0, len(all)-n):], nil
}
