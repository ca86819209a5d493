package api

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a span of time that is written as Go writes it: "2s", "1m30s",
// "500ms". Engines count in whole milliseconds, so finer parts are refused.
type Duration time.Duration

// ParseDuration reads a duration; it must be a whole, non-negative number of
// milliseconds.
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errorf("%q is not a duration: write a number with a unit, such as \"500ms\", \"30s\" or \"2m\"", text)
	}
	if d < 0 || d%time.Millisecond != 0 {
		return 0, errorf("%q is not a whole number of milliseconds from 0", text)
	}
	return Duration(d), nil
}

// Milliseconds returns d in milliseconds.
func (d Duration) Milliseconds() int64 { return time.Duration(d).Milliseconds() }

// String returns the shortest usual form, without zero units: "2m", not "2m0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	for _, zero := range []struct{ long, short string }{{"m0s", "m"}, {"h0m", "h"}} {
		if n := len(text) - len(zero.long); n > 0 && text[n:] == zero.long {
			text = text[:n] + zero.short
		}
	}
	return text
}

// MarshalJSON writes d as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a string as [ParseDuration] does.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a string such as \"2s\", not %s", data)
	}
	parsed, err := ParseDuration(text)
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
