package logs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxMessage bounds a line's message, in bytes.
const maxMessage = 8 << 10

// maxMicros is the end of the year 9999, the last that has a form in JSON.
const maxMicros = 253402300799_999999

// record holds the fields of a journal entry that are passed on. Those that
// begin with "_" are journald's own; any program may send the others.
type record struct {
	Time    field `json:"__REALTIME_TIMESTAMP"` // microseconds since 1970
	Unit    field `json:"_SYSTEMD_UNIT"`
	PID     field `json:"_PID"`
	UID     field `json:"_UID"`
	About   field `json:"UNIT"` // the unit that systemd speaks of, if it is systemd who sends it
	Message field `json:"MESSAGE"`
}

// fromManager reports whether systemd itself wrote the entry about a unit.
func (r record) fromManager() bool { return r.PID == "1" && r.UID == "0" && r.About != "" }

// field is one field of a journal entry, as text. journalctl writes it as a
// string; as an array of byte values if it is not UTF-8; as an array of
// strings or such arrays if the entry has it several times; as null if it is
// too long (systemd's JOURNAL_EXPORT_FORMATS and journalctl(1), "json").
type field string

// UnmarshalJSON reads any of a field's forms.
func (f *field) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil { // null leaves it empty
		*f = field(one)
		return nil
	}
	var octets []byte // as an array of numbers; a string was text above
	if json.Unmarshal(data, &octets) == nil {
		*f = field(strings.ToValidUTF8(string(octets), "\uFFFD"))
		return nil
	}
	var several []field
	if err := json.Unmarshal(data, &several); err != nil {
		return fmt.Errorf("a journal field is neither text, bytes nor a list of them: %w", err)
	}
	texts := make([]string, len(several))
	for i, s := range several {
		texts[i] = string(s)
	}
	*f = field(strings.Join(texts, "\n"))
	return nil
}

func parseLine(text []byte) (api.LogLine, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return api.LogLine{}, fmt.Errorf("parse a journal entry: %w", err)
	}
	micros, err := strconv.ParseInt(string(r.Time), 10, 64)
	if err != nil || micros < 0 || micros > maxMicros {
		return api.LogLine{}, fmt.Errorf("parse a journal entry: %q is no time in microseconds", r.Time)
	}
	unit := r.Unit
	if r.fromManager() {
		unit = r.About
	}
	return api.LogLine{
		Time:    time.UnixMicro(micros).UTC(),
		Unit:    string(unit),
		Message: api.Shorten(string(r.Message), maxMessage),
		Manager: r.fromManager(),
	}, nil
}
