package converge

import (
	"context"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
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
	account, err := foreign.Lookup(owner)
	if err != nil {
		return 0, 0, err
	}
	gid, err = foreign.Group(group)
	return account.UID, gid, err
}
