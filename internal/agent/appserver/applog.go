package appserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func logConfig(unit string, l api.AppLogs) converge.File {
	return logs.ConfigOf(unit, logs.Policy{Rate: l.Rate, Bytes: l.MaxBytes, Retention: time.Duration(l.Retention)}, "/logs")
}

// followLogs has the journalds of the component's units read what changed of their
// configuration, which they do when they start. systemd keeps the units' ends of their
// pipes meanwhile: neither a line nor a restart is lost.
func (k *Kind) followLogs(ctx context.Context, change converge.Change) error {
	l := layout{name: change.Name}
	for _, unit := range []string{l.appUnit(slotBlue), l.nginxUnit()} {
		if !change.Changed(logs.ConfigPath(unit)) {
			continue
		}
		status, err := k.systemd.Status(ctx, logs.Daemon(unit))
		if err == nil && status.Active() {
			// systemd refuses the sixth start in ten seconds; a few applies are no loop.
			err = errors.Join(k.systemd.ResetFailed(ctx, logs.Daemon(unit)), k.systemd.Restart(ctx, logs.Daemon(unit)))
		}
		if err != nil {
			return fmt.Errorf("have journald keep the log of %s as it is configured now: %w", unit, err)
		}
	}
	return nil
}
