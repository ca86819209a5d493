package logs

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestParse(t *testing.T) {
	at := `"__REALTIME_TIMESTAMP":"1714564800000001"`
	const systemd, forged = `,"_SYSTEMD_UNIT":"init.scope","_PID":"1","_UID":"0"`, `,"_SYSTEMD_UNIT":"foobar-app-shop@blue.service","_PID":"99"`
	tests := map[string]struct{ in, unit, message string }{
		"text":                  {`{` + at + `,"_SYSTEMD_UNIT":"foobar-lb-www.service","MESSAGE":"ready"}`, "foobar-lb-www.service", "ready"},
		"bytes":                 {`{` + at + `,"MESSAGE":[104,105,255]}`, "", "hi\uFFFD"},
		"null":                  {`{` + at + `,"MESSAGE":null}`, "", ""},
		"absent":                {`{` + at + `}`, "", ""},
		"repeated text":         {`{` + at + `,"MESSAGE":["one","two"]}`, "", "one\ntwo"},
		"repeated, one no text": {`{` + at + `,"MESSAGE":["one",[116,119,111],null]}`, "", "one\ntwo\n"},
		"systemd on a unit":     {`{` + at + systemd + `,"UNIT":"foobar-lb-www.service","MESSAGE":"Started"}`, "foobar-lb-www.service", "Started"},
		"an app on a unit":      {`{` + at + forged + `,"_UID":"990","UNIT":"foobar-lb-www.service","MESSAGE":"Started"}`, "foobar-app-shop@blue.service", "Started"},
		"another of root's":     {`{` + at + forged + `,"_UID":"0","UNIT":"foobar-lb-www.service","MESSAGE":"x"}`, "foobar-app-shop@blue.service", "x"},
		"an app's first one":    {`{` + at + forged + `,"_UID":"990","UNIT":["foobar-lb-www.service","x"],"MESSAGE":"x"}`, "foobar-app-shop@blue.service", "x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines, err := Parse(strings.NewReader(test.in + "\n"))
			if err != nil || len(lines) != 1 {
				t.Fatalf("%d lines, %v; want one", len(lines), err)
			}
			want := api.LogLine{Time: time.Date(2024, 5, 1, 12, 0, 0, 1000, time.UTC), Unit: test.unit, Message: test.message, Manager: name == "systemd on a unit"}
			if lines[0] != want {
				t.Errorf("got %+v, want %+v", lines[0], want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"no JSON":          {"-- No entries --\n", "parse a journal entry"},
		"no time":          {`{"MESSAGE":"x"}` + "\n", "is no time"},
		"a time too late":  {`{"__REALTIME_TIMESTAMP":"9999999999999999999"}` + "\n", "is no time"},
		"an object inside": {`{"__REALTIME_TIMESTAMP":"1","MESSAGE":{}}` + "\n", "neither text, bytes nor a list"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(strings.NewReader(test.in)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestCutOffLastLineIsLeftOut(t *testing.T) {
	line := `{"__REALTIME_TIMESTAMP":"1","MESSAGE":"x"}` + "\n"
	lines, err := Parse(strings.NewReader(line + line[:20]))
	if err != nil || len(lines) != 1 {
		t.Errorf("%d lines, %v; want one", len(lines), err)
	}
}

// script stands in for journalctl.
func script(text string) Journal {
	return Journal{Command: func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "sh", append([]string{"-c", text, "journalctl"}, args...)...)
	}}
}

func TestJournalAsksForTheUnit(t *testing.T) {
	journal := script(`printf '{"__REALTIME_TIMESTAMP":"1","MESSAGE":"%s"}\n' "$@"`)
	messages, err := journal.Journal(t.Context(), "foobar-app-shop@blue.service", 20)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(messages) // the newest line is printed first
	want := "--namespace=* --output=json --all --no-pager --quiet --reverse --lines=20 _SYSTEMD_UNIT=foobar-app-shop@blue.service + _PID=1 _UID=0 UNIT=foobar-app-shop@blue.service"
	if got := strings.Join(messages, " "); got != want {
		t.Errorf("journalctl was given %s\nwant %s", got, want)
	}
}

func TestJournalRefuses(t *testing.T) {
	tests := map[string]struct {
		unit  string
		lines int
		want  string
	}{
		"another unit":  {"ssh.service", 10, `"ssh.service" is not one of foobar's units`},
		"a glob":        {"foobar-*", 10, "is not one of foobar's units"},
		"an option":     {"--file=/etc/shadow", 10, "is not one of foobar's units"},
		"no lines":      {"foobar-agent.service", 0, "0 is not 1 to 2000"},
		"too many":      {"foobar-agent.service", 2001, "2001 is not 1 to 2000"},
		"wrong in both": {"", -1, "; lines: -1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := script("exit 0").Lines(t.Context(), test.unit, test.lines)
			if !api.IsProblem(err, api.ProblemInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want an invalid problem with %q", err, test.want)
			}
		})
	}
}

func TestJournalTellsWhatJournalctlSaid(t *testing.T) {
	_, err := script("echo 'no such journal' >&2; exit 1").Lines(t.Context(), "foobar-agent.service", 1)
	if err == nil || !strings.Contains(err.Error(), "exit status 1: no such journal") {
		t.Errorf("error %v", err)
	}
}

func TestOfTooMuchTheNewestIsRead(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	newest := `{"__REALTIME_TIMESTAMP":"2","MESSAGE":"newest"}`
	older := `{"__REALTIME_TIMESTAMP":"1","MESSAGE":"` + strings.Repeat("x", 1000) + `"}`
	lines, err := script("echo '"+newest+"'; exec yes '"+older+"'").Lines(ctx, "foobar-agent.service", MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + maxOutput/len(older+"\n"); len(lines) != want || lines[len(lines)-1].Message != "newest" {
		t.Errorf("%d lines are read, the last one is %+v", len(lines), lines[len(lines)-1])
	}
}

func TestChildEndsWithWhatItPrints(t *testing.T) {
	// The child would go on for ever; a line that cannot be read ends it.
	if _, err := script("echo garbage; exec sleep infinity").Lines(t.Context(), "foobar-agent.service", 1); err == nil {
		t.Error("garbage was read without an error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":["a",[1,2],null]}` + "\n"))
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","UNIT":"x","MESSAGE":[104,300]}` + "\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		lines, err := Parse(strings.NewReader(string(data)))
		if err == nil {
			api.Encode(api.Logs{Lines: lines}) // panics on what has no JSON form
		}
	})
}

func TestDroppedCountsJournaldsOwnMessages(t *testing.T) {
	const unit = "foobar-app-shop@blue.service"
	entry := func(at, message string) string {
		return `{"__REALTIME_TIMESTAMP":"` + at + `","MESSAGE":"` + message + `"}`
	}
	journal := script("echo '" + entry("3000000", "Suppressed 7 messages from "+unit) + "'; echo '" +
		entry("2000000", "Suppressed 9 messages from foobar-app-shop-nginx.service") + "'; echo '" +
		entry("1000000", "Suppressed 5 messages from "+unit) + "'; case \"$*\" in *_TRANSPORT=driver*--since=@60) ;; *) exit 1;; esac")
	loss, err := journal.Dropped(t.Context(), unit, time.Unix(60, 0))
	if want := (Loss{Lines: 12, Last: time.Unix(3, 0).UTC()}); err != nil || loss != want {
		t.Errorf("the loss is %+v, %v; want %+v", loss, err, want)
	}
}

func TestNamespacesAreOfOneUnitAlone(t *testing.T) {
	for unit, want := range map[string]string{
		"foobar-lb-www.service":            "foobar-lb-www",
		"foobar-app-x@blue.service":        "foobar-app-x@",
		"foobar-app-x@green.service":       "foobar-app-x@",
		"foobar-app-x-nginx.service":       "foobar-app-x-nginx",
		"foobar-app-x-nginx@blue.service":  "foobar-app-x-nginx@", // of an app called x-nginx
		"foobar-app-x-nginx-nginx.service": "foobar-app-x-nginx-nginx",
	} {
		if got := Namespace(unit); got != want {
			t.Errorf("the namespace of %s is %s, want %s", unit, got, want)
		}
	}
}
