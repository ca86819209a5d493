package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// agentPort is where the agent listens for Terraform.
const agentPort = api.DefaultPort

// readyTimeout is how long a machine may take from power to ready. One takes
// under three seconds; many at once, on a busy host, take their turns.
const readyTimeout = 2 * time.Minute

// agentTimeout is how long the agent may take to listen once systemd is done,
// which is after the agent said that it is ready.
const agentTimeout = 30 * time.Second

// tailTimeout bounds the question what went wrong.
const tailTimeout = 5 * time.Second

// waitReady waits until a boot of the machine after the given one is ready: all
// its services are up, and the agent listens where there is one.
func (l *Lab) waitReady(ctx context.Context, r record, after int) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %s", readyTimeout))
	defer cancel()
	run, err := l.waitBooted(ctx, r.Name, after)
	if err == nil && r.Agent != "" {
		err = l.waitAgent(ctx, r.Name, run)
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w; look at  lab logs %s", r.Name, err, r.Name)
	}
	l.log.Info("machine is ready", "machine", r.Name, "boot", run.boot, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// waitBooted waits until systemd has started everything.
func (l *Lab) waitBooted(ctx context.Context, name string, after int) (running, error) {
	var run running
	err := poll(ctx, func() (bool, error) {
		present, ok, err := l.running(name)
		if err != nil {
			return false, err
		}
		if !ok || present.boot <= after {
			return false, l.mustBeSupervised(name)
		}
		run = present
		return l.booted(ctx, name)
	})
	return run, err
}

// booted asks systemd whether it is done. Early in a boot there is nobody to ask.
func (l *Lab) booted(ctx context.Context, name string) (bool, error) {
	out, _ := l.output(ctx, name, "systemctl", "is-system-running", "--wait")
	switch strings.TrimSpace(out) {
	case "running":
		return true, nil
	case "degraded":
		failed, err := l.output(ctx, name, "systemctl", "list-units", "--failed", "--plain", "--no-legend")
		if err != nil {
			return false, fmt.Errorf("list failed units: %w", err)
		}
		return false, fmt.Errorf("units failed:\n%s", failed)
	default:
		return false, nil
	}
}

// mustBeSupervised fails when nobody is left who would start the machine.
func (l *Lab) mustBeSupervised(name string) error {
	up, err := l.supervisorGroup(name).populated()
	if err != nil || up {
		return err
	}
	return fmt.Errorf("it did not stay on; its console said:\n%s", l.consoleTail(name))
}

// consoleTail returns the last lines of what the machine wrote on its console.
func (l *Lab) consoleTail(name string) string {
	text, err := os.ReadFile(l.consoleLog(name))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// waitAgent waits until the agent listens. It is looked up in the kernel's table:
// a connection would be one that the agent has to refuse.
func (l *Lab) waitAgent(ctx context.Context, name string, run running) error {
	ctx, cancel := context.WithTimeoutCause(ctx, agentTimeout, fmt.Errorf("not listening after %s", agentTimeout))
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		for _, table := range []string{"tcp", "tcp6"} {
			listening, err := listens(filepath.Join("/proc", strconv.Itoa(run.leader), "net", table), agentPort)
			if listening || err != nil {
				return listening, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the agent to listen on port %d: %w; it said:\n%s", agentPort, err, l.agentTail(ctx, name))
	}
	return nil
}

// agentTail returns the last lines that the machine's agent logged.
func (l *Lab) agentTail(ctx context.Context, name string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailTimeout)
	defer cancel()
	out, err := l.output(ctx, name, "journalctl", "--unit=foobar-agent.service", "--boot", "--lines=5", "--output=cat", "--no-pager")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out)
}

// listens reports whether a table such as /proc/net/tcp has a listening socket on
// the port.
func listens(table string, port int) (bool, error) {
	f, err := os.Open(table)
	if err != nil {
		return false, fmt.Errorf("read listening ports: %w", err)
	}
	defer closeRead(f)
	const listen = "0A" // TCP_LISTEN of the kernel's tcp_states.h
	suffix := fmt.Sprintf(":%04X", port)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 3 && strings.HasSuffix(fields[1], suffix) && fields[3] == listen {
			return true, nil
		}
	}
	return false, lines.Err()
}
