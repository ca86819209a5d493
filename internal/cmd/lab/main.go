// Command lab boots the image as machines in isolated networks of this host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "lab: %v\nRun  lab help  for the commands.\n", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
}

// A usageError says what is wrong with the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// run does what the command line says.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		return printHelp(out)
	}
	c, ok := findCommand(args[0])
	if !ok {
		return usageError{fmt.Sprintf("there is no command %q", args[0])}
	}
	in, err := c.parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return c.printUsage(out)
	}
	if err != nil {
		return usageError{fmt.Sprintf("%s: %v\nUsage: lab %s", c.name, err, c.usage())}
	}
	l, err := open(in)
	if err != nil {
		return err
	}
	if c.changes {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	in.out = out
	return c.do(ctx, l, in)
}

// open returns the lab that the environment and the flags name.
func open(in input) (*lab.Lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	config, err := lab.NewConfig(os.Getenv, self)
	if err != nil {
		return nil, usageError{err.Error()}
	}
	if in.agent != "" {
		if config.Agent, err = filepath.Abs(in.agent); err != nil {
			return nil, fmt.Errorf("resolve %s: %w", in.agent, err)
		}
	}
	if in.noAgent {
		config.Agent = ""
	}
	level := hclog.Info
	if in.quiet {
		level = hclog.Warn
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "lab", Level: level, Output: os.Stderr, TimeFormat: "15:04:05.000"})
	return lab.Open(config, log)
}

// printHelp prints all commands.
func printHelp(out io.Writer) error {
	var b strings.Builder
	b.WriteString("lab boots the image as machines in isolated networks of this host.\n\n")
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(&b, "  lab %s\n        %s\n", c.usage(), c.help)
		}
	}
	b.WriteString(`
Machines are on the public network 203.0.113.0/24, the private one 10.0.0.0/24, or both.
"client" (203.0.113.200) and "mgmt" (10.0.0.250) are the lab's own parties there.

Environment: FOOBAR_LAB_NAME (a lab beside others, default demo), FOOBAR_LAB_AGENT,
FOOBAR_LAB_IMAGES, FOOBAR_LAB_MIRROR (URL of Debian's archive, and maybe of its security
updates; default those of this host's apt), FOOBAR_LAB_CACHE, FOOBAR_LAB_STATE, FOOBAR_LAB_RUN.
`)
	_, err := io.WriteString(out, b.String())
	return err
}
