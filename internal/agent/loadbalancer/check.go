package loadbalancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/haproxy"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// account is the user and the group of HAProxy's worker and of its checker.
const account = "haproxy"

// maxDetail bounds the engine's message in a violation, in bytes.
const maxDetail = 400

// Check runs HAProxy's own checker over the staged configuration. A warning is
// an error too.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	config := pathsOf(staged.Name).config
	output, err := k.check(ctx, staged.Path(config))
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*exec.ExitError](err); !refused || ctx.Err() != nil {
		return fmt.Errorf("check the configuration with haproxy -c: %w", err)
	}
	return refusal("HAProxy refuses the configuration", haproxy.ParseMessages(output), sourcesOf(staged.Version.State, config))
}

// Bounds of the checker: a log format may name a file without an end.
const (
	checkTimeout = 20 * time.Second
	checkMemory  = "--as=2147483648" // address space in bytes, for prlimit
)

// runChecker checks a copy of the configuration at path as the account of the
// worker: a log format may name files, which the checker opens and quotes. It
// has no environment for the same reason.
func runChecker(ctx context.Context, path string) (output string, err error) {
	uid, gid, err := converge.SystemAccounts{}.Lookup(account, account)
	if err != nil {
		return "", fmt.Errorf("is HAProxy installed on this machine? %w", err)
	}
	dir, err := os.MkdirTemp("", "foobar-haproxy-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the checker: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config, err := copyForChecker(dir, path, gid)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("it did not end in %s", checkTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, "prlimit", checkMemory, program, "-dW", "-c", "-f", config)
	cmd.Dir, cmd.Env = dir, []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} //nolint:gosec // ids of Linux have 32 bits
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err = cmd.Run(); ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return printed.String(), err
}

var stateFilePattern = regexp.MustCompile(`(?m)^    server-state-file .*$`)

// copyForChecker copies a configuration into dir, where the group may read it.
// Its state file is one that does not exist: HAProxy warns of one that it may
// not read. The copy has the same lines.
func copyForChecker(dir, path string, gid int) (string, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the agent staged it
	if err != nil {
		return "", fmt.Errorf("read the staged configuration: %w", err)
	}
	content = stateFilePattern.ReplaceAllLiteral(content, []byte("    server-state-file "+filepath.Join(dir, stateFile)))
	config := filepath.Join(dir, "haproxy.cfg")
	err = os.WriteFile(config, content, 0o600) //nolint:gosec // dir is our own
	if err = errors.Join(err, lend(config, 0o640, gid), lend(dir, 0o750, gid)); err != nil {
		return "", fmt.Errorf("copy the configuration for the checker: %w", err)
	}
	return config, nil
}

// lend opens a file or directory of root's to a group.
func lend(path string, mode os.FileMode, gid int) error {
	return errors.Join(os.Chown(path, -1, gid), os.Chmod(path, mode))
}

// sourcesOf returns the source map of the file at path.
func sourcesOf(state converge.State, path string) map[int]api.Pointer {
	for _, file := range state.Files {
		if file.Path == path {
			return file.Sources
		}
	}
	return nil
}

// refusal turns what HAProxy printed into a problem that points at the places
// in the spec that the lines in question came from.
func refusal(title string, messages []haproxy.Message, sources map[int]api.Pointer) *api.Problem {
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: title}
	var elsewhere []string
	for _, m := range messages {
		if m.Level == haproxy.Notice {
			continue
		}
		problem.Log = append(problem.Log, m.Text)
		if p, ok := sources[m.Line]; ok {
			v := api.Violation{Pointer: refine(p, m.Text), Detail: shorten(m.Text)}
			if !slices.Contains(problem.Violations, v) { // a restarted unit says it again
				problem.Violations = append(problem.Violations, v)
			}
		} else if m.Level == haproxy.Alert {
			elsewhere = append(elsewhere, m.Text)
		}
	}
	switch {
	case len(problem.Violations) > 0:
	case len(elsewhere) > 0:
		problem.Detail = shorten(strings.Join(elsewhere, "; "))
	case len(problem.Log) > 0:
		problem.Detail = shorten(strings.Join(problem.Log, "; "))
	default:
		problem.Detail = "it gave no reason"
	}
	return problem
}

// refine points at the half of a "bind" line that a failure is about.
func refine(p api.Pointer, message string) api.Pointer {
	switch {
	case len(p.Steps()) != 2 || p.Steps()[0] != "frontends":
		return p
	case strings.Contains(message, "Address already in use"), strings.Contains(message, "Permission denied"):
		return p.At("port")
	case strings.Contains(message, "Cannot assign requested address"):
		return p.At("address")
	}
	return p
}

func shorten(message string) string {
	if len(message) <= maxDetail {
		return message
	}
	return strings.ToValidUTF8(message[:maxDetail], "") + " …"
}
