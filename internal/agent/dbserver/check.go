package dbserver

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// checkTimeout bounds one Check with all its runs of MariaDB, which take some
// tenths of a second each: others wait for it meanwhile.
const checkTimeout = 20 * time.Second

// maxDetail bounds the engine's message in a violation, in bytes.
const maxDetail = 400

// Check has MariaDB read the staged configuration, and refuses what it would not
// take as it is given: MariaDB itself changes most values that are out of its
// bounds and only warns, or not even that. What is wrong is reported at once, as far as
// [maxTries] and [checkTimeout] go.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	spec, err := specOf(staged.Version.Spec)
	if err != nil {
		return err
	}
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: "The database server cannot run like this"}
	if problem.Violations, err = k.listens(spec); err != nil {
		return err
	}
	if err := k.checkSettings(ctx, staged, spec, problem); err != nil {
		return err
	}
	if err := k.checkMemory(spec, problem); err != nil {
		return err
	}
	if len(problem.Violations) > 0 || problem.Detail != "" {
		return problem
	}
	return nil
}

// listens sees that the machine has the addresses to listen on. MariaDB would
// not: the image lets programs bind addresses that are still to come.
func (k *Kind) listens(spec api.DBServer) (api.Violations, error) {
	addresses, err := k.addresses()
	if err != nil {
		return nil, err
	}
	var found api.Violations
	for i, text := range spec.ListenAddresses {
		if lacks := addresses.Lacks(text); lacks != "" {
			found.Add(api.Pointer("/listen_addresses").At(i), "%s", lacks)
		}
	}
	return found, nil
}

// levelError is the level of what MariaDB does not start with.
const levelError = "ERROR"

// message is one line that MariaDB wrote.
type message struct {
	level, text string
}

// messagePattern matches a message with its level, and one without: MariaDB
// writes what is wrong with a character set behind a bell and its own path.
var messagePattern = regexp.MustCompile(`(?m)^(?:(?:\d{4}-\d\d-\d\d +\d{1,2}:\d\d:\d\d \d+ )?\[(ERROR|Warning)\] (?:mariadbd: |\S*/mariadbd: )?|\a?/\S*/mariadbd: )(.+)$`)

// ownLimits returns how MariaDB begins what it says of the process that it
// runs in, which for its checker has the agent's limits, no data and no network.
func ownLimits() []string {
	return []string{
		"Could not increase number of max_open_files", "Changed limits", "Could not open mysql.plugin table",
		"failed to retrieve the MAC address", "WSREP: Failed to guess base node address", "WSREP: Guessing address for incoming client connections failed",
	}
}

// parseMessages returns the errors and warnings in what MariaDB wrote.
func parseMessages(output string) []message {
	var found []message
	for _, match := range messagePattern.FindAllStringSubmatch(output, -1) {
		m := message{level: cmp.Or(match[1], levelError), text: strings.TrimSpace(match[2])}
		own := slices.ContainsFunc(ownLimits(), func(start string) bool { return strings.HasPrefix(m.text, start) })
		if !own && !slices.Contains(found, m) { // a unit that was restarted says it again
			found = append(found, m)
		}
	}
	return found
}

// hints tell which place of the spec a message, in lower case, is about that
// names no setting.
func hints() []struct {
	says    string
	pointer api.Pointer
} {
	return []struct {
		says    string
		pointer api.Pointer
	}{
		{"address already in use", "/port"},
		{"cannot assign requested address", "/listen_addresses"},
		{"bind on tcp/ip port", "/listen_addresses"},
		{"buffer pool", "/settings/innodb_buffer_pool_size"},
		{"collation", "/settings/collation_server"},
		{"character set", "/settings/character_set_server"},
	}
}

var wordPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9_-]*`)

// pointers returns the places in the spec that a message is about: the
// settings of the spec that it names, however it spells them, or what a
// familiar text tells.
func (m message) pointers(spec api.DBServer) []api.Pointer {
	var found []api.Pointer
	for _, word := range wordPattern.FindAllString(m.text, -1) {
		name := settingName(word)
		if _, ok := spec.Settings[name]; ok {
			found = append(found, api.Pointer("/settings").At(name))
		}
	}
	if len(found) == 0 && m.level == levelError {
		text := strings.ToLower(m.text)
		for _, hint := range hints() {
			steps := hint.pointer.Steps()
			if _, given := spec.Settings[steps[len(steps)-1]]; strings.Contains(text, hint.says) && (len(steps) == 1 || given) {
				return []api.Pointer{hint.pointer}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// refusal turns what MariaDB wrote into a problem that points at the places in
// the spec that it is about.
func refusal(title string, messages []message, spec api.DBServer) *api.Problem {
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: title}
	var elsewhere []string
	for _, m := range messages {
		problem.Log = append(problem.Log, m.text)
		places := m.pointers(spec)
		for _, p := range places {
			problem.Violations = append(problem.Violations, api.Violation{Pointer: p, Detail: api.Shorten(m.text, maxDetail)})
		}
		if len(places) == 0 && m.level == levelError && m.text != "Aborting" {
			elsewhere = append(elsewhere, m.text)
		}
	}
	switch {
	case len(problem.Violations) > 0:
	case len(elsewhere) > 0:
		problem.Detail = api.Shorten(strings.Join(elsewhere, "; "), maxDetail)
	case len(problem.Log) > 0:
		problem.Detail = api.Shorten(strings.Join(problem.Log, "; "), maxDetail)
	default:
		problem.Detail = "it gave no reason"
	}
	return problem
}
