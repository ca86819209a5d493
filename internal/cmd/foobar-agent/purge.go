package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// purgeComponent shows what a component has left that was destroyed, and removes it if
// its name is given as consent.
func purgeComponent(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("purge", flag.ContinueOnError)
	consent := flags.String("consent", "", "")
	if len(args) == 0 {
		return listLeftovers(ctx, newLocal(socketPath), out)
	}
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	return purge(ctx, newLocal(socketPath), rest[0], *consent, out)
}

// listLeftovers shows what all components have left that were destroyed.
func listLeftovers(ctx context.Context, agent local, out io.Writer) error {
	var all api.AllLeftovers
	if err := agent.get(ctx, "/v1/leftovers", &all); err != nil {
		return err
	}
	for _, c := range all.Components {
		consent := fmt.Sprintf("To delete it for good: foobar-agent purge -consent %s %s", c.Name, c.ID)
		if err := showLeftovers(out, c.Leftovers, c.String(), "has left", consent); err != nil {
			return err
		}
	}
	if len(all.Components) > 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, "No component that was destroyed has left data on this machine.")
	return err
}

func purge(ctx context.Context, agent local, component, consent string, out io.Writer) error {
	kind, name, both := strings.Cut(component, "/")
	if !both || api.CheckName(name) != nil {
		return fmt.Errorf("%q is no component: write a kind and a name, such as app-server/shop", component)
	}
	path := "/v1/leftovers/" + url.PathEscape(kind) + "/" + name
	var left api.Leftovers
	if consent == "" {
		if err := agent.get(ctx, path, &left); err != nil {
			return err
		}
		return showLeftovers(out, left, component, "has left", fmt.Sprintf("To delete it for good: foobar-agent purge -consent %s %s", name, component))
	}
	var machine api.Health
	if err := agent.get(ctx, "/v1/health", &machine); err != nil {
		return err
	}
	if err := agent.call(ctx, http.MethodDelete, path+"?consent="+url.QueryEscape(consent), machine.Node, &left); err != nil {
		return err
	}
	return showLeftovers(out, left, component, "had left, deleted now", "")
}

func showLeftovers(out io.Writer, left api.Leftovers, component, verb, next string) error {
	var b strings.Builder
	if left.Empty() {
		fmt.Fprintf(&b, "Nothing is left of %s.\n", component)
		next = ""
	} else {
		fmt.Fprintf(&b, "What %s %s:\n", component, verb)
	}
	for _, d := range left.Directories {
		fmt.Fprintf(&b, "  %s: %s, %s\n", d.Path, d.Holds, d.Usage)
	}
	if left.User != "" {
		fmt.Fprintf(&b, "  the account %s\n", left.User)
	}
	if next != "" {
		fmt.Fprintln(&b, next)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
