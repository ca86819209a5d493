package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/dbserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// hookDatabase is what the unit of a database server runs as root; it is not for people.
func hookDatabase(ctx context.Context, args []string) error {
	words, err := parse(flag.NewFlagSet("db-server", flag.ContinueOnError), args, 2)
	if err != nil {
		return err
	}
	hook, known := map[string]func(context.Context, string) error{"started": dbserver.Started, "reloaded": dbserver.Reloaded}[words[0]]
	if !known {
		return usageError("it is: db-server started|reloaded NAME")
	}
	if err := api.CheckName(words[1]); err != nil {
		return usageError(err.Error())
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can do this")
	}
	if err := hook(ctx, words[1]); err != nil {
		return fmt.Errorf("database server %s: %w", words[1], err)
	}
	return nil
}
