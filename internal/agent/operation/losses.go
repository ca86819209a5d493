package operation

import (
	"context"
	"fmt"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Journal tells what is missing from the logs of units; see [logs.Journal].
type Journal interface {
	// Dropped returns what journald did not take of a unit's lines since a time.
	Dropped(ctx context.Context, unit string, since time.Time) (logs.Loss, error)
}

// lossAge is how long a loss of lines is worth a warning.
const lossAge = 24 * time.Hour

// lossFloor is the number of lines from which a loss is a warning, and not a note: a
// handful is lost in any burst.
const lossFloor = 100

// logLess says what to do about lines that are lost: the rate of an app's log alone is an
// attribute.
func logLess(kind api.Kind) string {
	if kind == api.KindAppServer {
		return "Have the app log less, or raise logs.rate."
	}
	return "Have it log less."
}

// losses warns of lines that are missing from the logs of a component's units.
func (r *Runner) losses(ctx context.Context, record *Record) []api.Condition {
	var found []api.Condition
	for _, unit := range record.Applied.State.Units {
		loss, err := r.Journal.Dropped(ctx, unit.Name, r.Clock().Add(-lossAge))
		if err != nil {
			found = append(found, api.Condition{
				Type: "LogUnreadable", Severity: api.SeverityWarning,
				Message: fmt.Sprintf("The log of %s cannot be read: %v.", unit.Name, err),
			})
			continue
		}
		if loss.Lines > 0 {
			severity := api.SeverityInfo
			if loss.Lines >= lossFloor {
				severity = api.SeverityWarning
			}
			found = append(found, api.Condition{
				Type: "LogsDropped", Severity: severity,
				Message: fmt.Sprintf("%s of %s did not reach its log, the last before %s: it wrote more at once than journald takes. %s This ends %s after the last loss, or when newer lines have driven out what journald says of it.",
					api.Count(loss.Lines, "line"), unit.Name, loss.Last.UTC().Format("2006-01-02 15:04:05 UTC"), logLess(record.Kind), lossAge),
			})
		}
	}
	return found
}
