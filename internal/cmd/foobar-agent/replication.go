package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// leaveReplication ends the machine's membership in a replication.
func leaveReplication(ctx context.Context, args []string, out io.Writer) error {
	words, err := parse(flag.NewFlagSet("replication", flag.ContinueOnError), args, 2)
	if err != nil {
		return err
	}
	if words[0] != "leave" {
		return usageError("it is: replication leave NAME")
	}
	return leave(ctx, newLocal(socketPath), words[1], out)
}

func leave(ctx context.Context, agent local, name string, out io.Writer) error {
	if err := api.CheckName(name); err != nil {
		return fmt.Errorf("%q is no replication: %w", name, err)
	}
	var machine api.Health
	if err := agent.get(ctx, "/v1/health", &machine); err != nil {
		return err
	}
	if err := agent.call(ctx, http.MethodDelete, "/v1/replications/"+name+"/membership", machine.Node, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s takes part in no replication %s. Its data stay, and its database follows nobody for it.\n", machine.Node, name)
	return err
}
