// Package logs reads the journal of the machine's foobar units. The journal's
// own library needs cgo, which would end the static binary; so journalctl is
// asked, as a child that lives no longer than the request.
package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// MaxLines bounds the lines of one answer.
	MaxLines = 2000
	// maxOutput bounds what is read from journalctl, in bytes. A line of the
	// journal with all its fields is about 1.5 kB; the newest comes first.
	maxOutput = 16 << 20
)

// unitPattern admits the units of the agent and its components. It leaves out
// what journalctl would take for a glob or an option.
var unitPattern = regexp.MustCompile(`^foobar-[a-z0-9@:.-]{1,100}$`)

// Journal reads the journal of this machine. Its zero value runs the
// journalctl of the PATH.
type Journal struct {
	// Command starts the program that prints the journal; nil means
	// journalctl. A test gives another.
	Command func(ctx context.Context, args ...string) *exec.Cmd
}

// Lines returns the last lines of a unit, oldest first; of more than 16 MiB it
// returns the newest. An unknown unit has none. The error is an [api.Problem]
// if the unit is not one of foobar's or lines is not 1 to [MaxLines].
func (j Journal) Lines(ctx context.Context, unit string, lines int) ([]api.LogLine, error) {
	if err := check(unit, lines); err != nil {
		return nil, err
	}
	read, err := j.read(ctx, lines, of(unit)...)
	if err != nil {
		return nil, fmt.Errorf("read the journal of %s: %w", unit, err)
	}
	return read, nil
}

// of matches what a unit wrote, or systemd wrote about it, by journald's own
// fields. The option --unit matches more: entries that any account can send,
// such as those about core dumps of the unit.
func of(unit string) []string {
	return []string{"_SYSTEMD_UNIT=" + unit, "+", "_PID=1", "_UID=0", "UNIT=" + unit}
}

// read returns the last lines that match, oldest first.
func (j Journal) read(ctx context.Context, lines int, matches ...string) ([]api.LogLine, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the child if its output is not read to the end
	cmd := j.command(ctx, append([]string{"--namespace=*", "--output=json", "--all", "--no-pager", "--quiet", "--reverse",
		"--lines=" + strconv.Itoa(lines)}, matches...)...)
	var complaint strings.Builder
	cmd.Stderr = &limited{&complaint, 1 << 10}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: out, N: maxOutput}
	read, err := Parse(bounded)
	enough := bounded.N == 0
	if err != nil || enough {
		cancel()
	}
	if ended := cmd.Wait(); err == nil && ended != nil && !enough {
		err = fmt.Errorf("%w: %s", ended, strings.TrimSpace(complaint.String()))
	}
	if err != nil {
		return nil, err
	}
	slices.Reverse(read)
	return read, nil
}

// Journal returns the messages of [Journal.Lines].
func (j Journal) Journal(ctx context.Context, unit string, lines int) ([]string, error) {
	read, err := j.Lines(ctx, unit, lines)
	if err != nil {
		return nil, err
	}
	messages := make([]string, len(read))
	for i, line := range read {
		messages[i] = line.Message
	}
	return messages, nil
}

// Sync waits until the journal holds what a unit has written so far: the last
// words of a process that has just died are the most wanted.
func (j Journal) Sync(ctx context.Context, unit string) error {
	if output, err := j.command(ctx, "--namespace="+Namespace(unit), "--sync").CombinedOutput(); err != nil {
		return fmt.Errorf("have the journal of %s written out: %w: %s", unit, err, strings.TrimSpace(string(output)))
	}
	return nil
}

func (j Journal) command(ctx context.Context, args ...string) *exec.Cmd {
	if j.Command != nil {
		return j.Command(ctx, args...)
	}
	return exec.CommandContext(ctx, "journalctl", args...)
}

func check(unit string, lines int) error {
	var found []string
	if !unitPattern.MatchString(unit) {
		found = append(found, fmt.Sprintf("unit: %q is not one of foobar's units, such as \"foobar-agent.service\" or \"foobar-lb-www.service\"", unit))
	}
	if lines < 1 || lines > MaxLines {
		found = append(found, fmt.Sprintf("lines: %d is not 1 to %d", lines, MaxLines))
	}
	if found == nil {
		return nil
	}
	return &api.Problem{Type: api.ProblemInvalid, Title: "The request is not valid", Detail: strings.Join(found, "; ")}
}

// Parse reads the output of journalctl --output=json: an object to a line. A
// last line that is cut off is left out.
func Parse(r io.Reader) ([]api.LogLine, error) {
	lines := []api.LogLine{}
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		line, err := parseLine(text)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
}

// limited passes the first bytes on and drops the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
