// Command foobar-agent runs on every machine: it serves the agent's API, and
// tells who sits at the machine how its components are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version = "dev"

const usage = `Usage: foobar-agent COMMAND

  serve                      run the agent (systemd does this)
  status [-json]             show the machine, its components, drift and conditions
  logs [-n LINES] [-app] COMPONENT
                             show a component's last log lines, such as
                             "load-balancer/www"; "agent" is the agent itself;
                             with -app those of an app, without nginx before it
  restart COMPONENT          start an app again, such as "app-server/shop": as a
                             release of what is applied, which costs no request
                             where the strategy is blue_green
  rollback [-to GENERATION] COMPONENT
                             go back to the configuration that served before the
                             last change, its release included. The secrets stay.
                             Where the last change was of the secrets alone, it
                             says how to go back further. The next rollback goes
                             forth again, and so does the next terraform apply.
                             For example: foobar-agent rollback app-server/shop
  drain COMPONENT            have load balancers send an app server, such as
                             "app-server/shop", no new requests, until undrain
                             or the next boot
  undrain COMPONENT          have load balancers send an app server, such as
                             "app-server/shop", requests again
  identity reset -bootstrap FILE
                             make the machine new, so that Terraform enrols it
                             again: if the CA seed or the identity is lost. Data,
                             components and services stay as they are
  replication leave NAME     take this machine out of a replication that no
                             foobar_db_replication has; its data stay
  purge [-consent NAME] [COMPONENT]
                             show what a component has left that was destroyed,
                             such as "app-server/shop": its data, logs and account;
                             with its name as consent, delete that for good.
                             Without a component, show those that have left data
  db-server started|reloaded NAME
                             what the unit of a database server runs (systemd does
                             this)
  version                    print the version
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if full := host.Full(err); full != nil {
		err = fmt.Errorf("%w; %s", err, full.Detail)
	}
	switch _, misused := errors.AsType[usageError](err); {
	case misused:
		fmt.Fprintf(os.Stderr, "foobar-agent: %s\n%s", api.VisibleLines(err.Error()), usageOf(os.Args[1:]))
		os.Exit(2)
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usageOf(os.Args[1:]))
	case err != nil:
		fmt.Fprintln(os.Stderr, "foobar-agent:", api.VisibleLines(err.Error()))
		os.Exit(1)
	}
}

// usageOf returns the usage of the command that a command line is of, or all of it.
func usageOf(args []string) string {
	if len(args) == 0 {
		return usage
	}
	command := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(args[0]) + ` .*\n(   .*\n)*`)
	found := strings.Join(command.FindAllString(usage, -1), "")
	if found == "" {
		return usage
	}
	return "Usage of foobar-agent:\n" + found + "\"foobar-agent help\" shows all commands.\n"
}

// usageError says what of the command line was not understood.
type usageError string

// Error implements error.
func (e usageError) Error() string { return string(e) }

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return usageError("a command is missing")
	}
	switch command, rest := args[0], args[1:]; command {
	case "serve":
		return serve(ctx, rest)
	case "identity":
		return changeIdentity(ctx, rest, out)
	case "replication":
		return leaveReplication(ctx, rest, out)
	case "purge":
		return purgeComponent(ctx, rest, out)
	case "restart", "rollback", "drain", "undrain":
		return operate(ctx, command, rest, out)
	case "db-server":
		return hookDatabase(ctx, rest)
	case "status":
		return showStatus(ctx, rest, out)
	case "logs":
		return showLogs(ctx, rest, out)
	case "version":
		_, err := fmt.Fprintln(out, version)
		return err
	case "help", "-h", "--help":
		_, err := io.WriteString(out, usage)
		return err
	}
	return usageError(fmt.Sprintf("there is no command %q", args[0]))
}

// parse reads the flags of a command and returns its n other arguments. Flags
// may stand before or after them.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		if err != nil {
			return nil, usageError(err.Error())
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	switch {
	case len(rest) < n:
		return nil, usageError("an argument of " + flags.Name() + " is missing")
	case len(rest) > n:
		return nil, usageError(fmt.Sprintf("%s has an argument too many: %q", flags.Name(), rest[n]))
	}
	return rest, nil
}
