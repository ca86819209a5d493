package converge

import (
	"context"
	"fmt"
	"os/user"
	"strconv"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
)

// SystemAccounts are the accounts of the machine that the agent runs on.
type SystemAccounts struct{}

// Ensure makes those users that are missing.
func (SystemAccounts) Ensure(ctx context.Context, users []User) error {
	for _, u := range users {
		if err := systemd.EnsureUser(ctx, u.Name, u.Groups...); err != nil {
			return err
		}
	}
	return nil
}

// Lookup returns the ids of a user and a group.
func (SystemAccounts) Lookup(owner, group string) (uid, gid int, err error) {
	u, err := user.Lookup(owner)
	if err != nil {
		return 0, 0, fmt.Errorf("look up the user %s: %w", owner, err)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, 0, fmt.Errorf("look up the group %s: %w", group, err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, fmt.Errorf("look up the user %s: %w", owner, err)
	}
	if gid, err = strconv.Atoi(g.Gid); err != nil {
		return 0, 0, fmt.Errorf("look up the group %s: %w", group, err)
	}
	return uid, gid, nil
}
