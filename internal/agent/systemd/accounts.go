package systemd

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// EnsureUser makes the system account name, with a group of the same name,
// without a shell or a home, and puts it into further groups. What is there
// already stays as it is. The names must be plain ones, as [api.CheckName]
// allows: they become words of a systemd-sysusers line.
func EnsureUser(ctx context.Context, name string, groups ...string) error {
	args := []string{"--inline", fmt.Sprintf(`u %s - "foobar component" /nonexistent /usr/sbin/nologin`, name)}
	for _, group := range groups {
		args = append(args, fmt.Sprintf("m %s %s", name, group))
	}
	cmd := exec.CommandContext(ctx, "systemd-sysusers", args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the user %s with systemd-sysusers: %w: %s", name, err, strings.TrimSpace(output.String()))
	}
	return nil
}
