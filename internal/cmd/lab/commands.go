package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/lab"
)

// input is a parsed command line.
type input struct {
	args    []string // before "--"
	command []string // after "--"
	out     io.Writer

	agent           string
	noAgent         bool
	quiet           bool
	json            bool
	sameIncarnation bool
	www             string
	disk, base      string
}

// shape is which arguments a command takes.
type shape int

const (
	none          shape = iota
	anyArgs             // any number of them
	someMachines        // at least one machine
	parties             // two lists of parties
	partiesOrNone       // two lists, or nothing
	oneMachine          // one machine
	machineAndCmd       // one machine -- a command
	onlyCmd             // -- a command
	machineAndOpt       // one machine, optionally -- more
)

// A command is a row of the table that the program is.
type command struct {
	name    string
	shape   shape
	words   string // the arguments, for people
	help    string
	flags   func(*flag.FlagSet, *input)
	changes bool // takes its turn with others that change the lab
	hidden  bool // the lab's own
	do      func(context.Context, *lab.Lab, input) error
}

func commands() []command {
	return slices.Concat(lifeCommands(), powerCommands(), insideCommands(), ownCommands())
}

func lifeCommands() []command {
	return []command{
		{
			name: "up", shape: anyArgs, words: "[NAME=ADDRESS[,ADDRESS]…]", changes: true, flags: agentFlags(func(f *flag.FlagSet, in *input) {
				f.StringVar(&in.www, "www", "", "address that www.foobar.test resolves to (default: the first public one)")
			}),
			help: "bring these machines up, beside those the lab has already; wait until all are ready",
			do:   up,
		},
		{
			name: "down", changes: true, help: "end machines, networks and processes, and remove the disks",
			do: func(ctx context.Context, l *lab.Lab, _ input) error { return l.Down(ctx) },
		},
		{
			name: "status", help: "show the machines", flags: func(f *flag.FlagSet, in *input) {
				f.BoolVar(&in.json, "json", false, "for programs")
			},
			do: status,
		},
		{
			name: "image", changes: true, flags: agentFlags(nil), help: "build the machines' image unless it is cached",
			do: func(ctx context.Context, l *lab.Lab, _ input) error { _, err := l.Image(ctx); return err },
		},
		{
			name: "seed", help: "print the path of the file that holds the lab's CA seed",
			do: func(_ context.Context, l *lab.Lab, in input) error {
				path, err := l.Seed()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(in.out, path)
				return err
			},
		},
	}
}

func powerCommands() []command {
	verb := func(name, help string, do func(*lab.Lab, context.Context, ...string) error) command {
		return command{
			name: name, shape: someMachines, words: "MACHINE…", changes: true, help: help,
			do: func(ctx context.Context, l *lab.Lab, in input) error { return do(l, ctx, in.args...) },
		}
	}
	reset := verb("reset", "give machines fresh disks and a raised incarnation, as a replaced VM has; wait until they are ready", nil)
	reset.flags = agentFlags(func(f *flag.FlagSet, in *input) {
		f.BoolVar(&in.sameIncarnation, "same-incarnation", false, "do not raise the incarnation")
	})
	reset.do = func(ctx context.Context, l *lab.Lab, in input) error {
		return l.Reset(ctx, in.sameIncarnation, in.args...)
	}
	return []command{
		verb("reboot", "reboot machines; wait until they are ready again", (*lab.Lab).Reboot),
		verb("kill", "take the power from machines, all processes at once, and boot them from the same disk", (*lab.Lab).Kill),
		reset,
		verb("poweroff", "shut machines down", (*lab.Lab).PowerOff),
		verb("start", "switch machines on that are off", (*lab.Lab).Start),
		verb("pause", "freeze machines: they fall silent", (*lab.Lab).Pause),
		verb("resume", "continue paused machines", (*lab.Lab).Resume),
		{
			name: "partition", shape: parties, words: "A[,…] B[,…]", changes: true, help: "cut machines, client or mgmt off from others",
			do: func(ctx context.Context, l *lab.Lab, in input) error {
				return l.Partition(ctx, strings.Split(in.args[0], ","), strings.Split(in.args[1], ","))
			},
		},
		{
			name: "heal", shape: partiesOrNone, words: "[A[,…] B[,…]]", changes: true, help: "undo these partitions, or all",
			do: func(ctx context.Context, l *lab.Lab, in input) error {
				if len(in.args) == 0 {
					return l.Heal(ctx, nil, nil)
				}
				return l.Heal(ctx, strings.Split(in.args[0], ","), strings.Split(in.args[1], ","))
			},
		},
	}
}

func insideCommands() []command {
	return []command{
		{
			name: "exec", shape: machineAndCmd, words: "MACHINE -- COMMAND…", help: "run a command in a machine",
			do: func(_ context.Context, l *lab.Lab, in input) error { return l.Exec(in.args[0], in.command) },
		},
		{
			name: "run", shape: onlyCmd, words: "-- COMMAND…", help: "run a command as the outside client, on the public network",
			do: func(_ context.Context, l *lab.Lab, in input) error { return l.Run(in.command) },
		},
		{
			name: "manage", shape: onlyCmd, words: "-- COMMAND…", help: "run a command in the management namespace, on the private network; FOOBAR_CA_SEED is set",
			do: func(_ context.Context, l *lab.Lab, in input) error { return l.Manage(in.command) },
		},
		{
			name: "logs", shape: machineAndOpt, words: "MACHINE [-- JOURNALCTL-ARGUMENT…]", help: "print a machine's journal since its boot, or the console of one that is off",
			do: func(_ context.Context, l *lab.Lab, in input) error { return l.Logs(in.args[0], in.command) },
		},
	}
}

// ownCommands are what the lab starts itself with.
func ownCommands() []command {
	return []command{
		{
			name: "hold", shape: oneMachine, hidden: true,
			do: func(ctx context.Context, l *lab.Lab, in input) error { return l.Hold(ctx, in.args[0]) },
		},
		{
			name: "supervise", shape: oneMachine, hidden: true,
			do: func(ctx context.Context, l *lab.Lab, in input) error { return l.Supervise(ctx, in.args[0]) },
		},
		{
			name: "boot", shape: oneMachine, hidden: true,
			do: func(_ context.Context, l *lab.Lab, in input) error { return l.Boot(in.args[0]) },
		},
		{
			name: "provision", shape: anyArgs, hidden: true, flags: agentFlags(func(f *flag.FlagSet, in *input) {
				f.StringVar(&in.disk, "disk", "", "")
				f.StringVar(&in.base, "base", "", "")
			}),
			do: func(_ context.Context, l *lab.Lab, in input) error {
				return l.Provision(in.args[0], in.disk, in.base, in.args[1])
			},
		},
	}
}

// agentFlags are those of commands that may make an image.
func agentFlags(more func(*flag.FlagSet, *input)) func(*flag.FlagSet, *input) {
	return func(f *flag.FlagSet, in *input) {
		f.StringVar(&in.agent, "agent", "", "path of the agent's binary (default: foobar-agent beside lab)")
		f.BoolVar(&in.noAgent, "no-agent", false, "machines without an agent")
		if more != nil {
			more(f, in)
		}
	}
}

func findCommand(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// flagSet returns the command's flags, which set in.
func (c command) flagSet(in *input) *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&in.quiet, "q", false, "print warnings and errors only")
	if c.flags != nil {
		c.flags(flags, in)
	}
	return flags
}

func (c command) usage() string { return strings.TrimSpace(c.name + " " + c.words) }

func (c command) printUsage(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "lab %s\n  %s\n\n", c.usage(), c.help); err != nil {
		return err
	}
	flags := c.flagSet(&input{})
	flags.SetOutput(out)
	flags.PrintDefaults()
	return nil
}

// parse reads the words after the command's name. Flags may stand anywhere before
// "--"; what follows it is not looked at.
func (c command) parse(words []string) (input, error) {
	var in input
	if i := slices.Index(words, "--"); i >= 0 {
		words, in.command = words[:i], words[i+1:]
	}
	flags := c.flagSet(&in)
	for len(words) > 0 {
		if err := flags.Parse(words); err != nil {
			return input{}, err
		}
		if words = flags.Args(); len(words) > 0 {
			in.args, words = append(in.args, words[0]), words[1:]
		}
	}
	return in, c.check(in)
}

// check compares the arguments with what the command takes.
func (c command) check(in input) error {
	args, after := len(in.args), len(in.command)
	type want struct {
		ok   bool
		text string
	}
	wants := map[shape]want{
		none:          {args == 0 && after == 0, "it takes no arguments"},
		anyArgs:       {after == 0, "nothing may follow --"},
		someMachines:  {args > 0 && after == 0, "name at least one machine"},
		parties:       {args == 2 && after == 0, "name two parties, or two lists with commas"},
		partiesOrNone: {(args == 0 || args == 2) && after == 0, "name two parties, or nothing"},
		oneMachine:    {args == 1 && after == 0, "name one machine"},
		machineAndCmd: {args == 1 && after > 0, "name one machine, then -- and the command"},
		onlyCmd:       {args == 0 && after > 0, "give -- and the command"},
		machineAndOpt: {args == 1, "name one machine"},
	}
	if w := wants[c.shape]; !w.ok {
		return errors.New(w.text)
	}
	return nil
}

func up(ctx context.Context, l *lab.Lab, in input) error {
	machines, err := lab.ParseMachines(in.args)
	if err != nil {
		return usageError{err.Error()}
	}
	var www netip.Addr
	if in.www != "" {
		if www, err = netip.ParseAddr(in.www); err != nil || !lab.Public.Prefix().Contains(www) {
			return usageError{fmt.Sprintf("-www is %q: want an address in %s", in.www, lab.Public.Prefix())}
		}
	}
	return l.Up(ctx, machines, www)
}

func status(_ context.Context, l *lab.Lab, in input) error {
	s, err := l.Status()
	if err != nil {
		return err
	}
	if !in.json {
		return s.Write(in.out)
	}
	encoder := json.NewEncoder(in.out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}
