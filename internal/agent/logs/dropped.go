package logs

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Loss is what journald did not take of a unit's lines.
type Loss struct {
	// Lines is how many, Last when journald said so last.
	Lines int64
	Last  time.Time
}

// droppedMessage is the id of journald's own message that it has dropped
// lines (SD_MESSAGE_JOURNAL_DROPPED in sd-messages.h).
const droppedMessage = "a596d6fe7bfa4994828e72309e95d61e"

var suppressedPattern = regexp.MustCompile(`^Suppressed ([0-9]{1,15}) messages from (\S+)$`)

// Dropped returns how many lines of a unit journald has dropped since a time,
// because the unit wrote more than its rate limit allows. journald tells of
// them with the first line that it takes again.
func (j Journal) Dropped(ctx context.Context, unit string, since time.Time) (Loss, error) {
	if err := check(unit, 1); err != nil {
		return Loss{}, err
	}
	// Only journald itself has the transport "driver".
	lines, err := j.read(ctx, MaxLines, "_TRANSPORT=driver", "MESSAGE_ID="+droppedMessage, "--since=@"+strconv.FormatInt(since.Unix(), 10))
	if err != nil {
		return Loss{}, fmt.Errorf("ask for the dropped lines of %s: %w", unit, err)
	}
	var loss Loss
	for _, line := range lines {
		found := suppressedPattern.FindStringSubmatch(strings.TrimSpace(line.Message))
		if found == nil || found[2] != unit {
			continue
		}
		n, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			return Loss{}, errors.New("journald counts dropped lines beyond measure")
		}
		loss.Lines += n
		loss.Last = line.Time
	}
	return loss, nil
}
