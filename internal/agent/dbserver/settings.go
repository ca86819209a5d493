package dbserver

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxTries bounds how often MariaDB is asked again without what it has refused. It
// names one setting at a time.
const maxTries = 8

const notAll = "more of them may be wrong: MariaDB names one at a time, and the check ended before it had read all. Correct those that are named and plan again"

// fault is one setting that the server does not take as it is given.
type fault struct {
	variable
	// adopts is what the server would run with instead, if it would start.
	adopts string
	// says is the server's own message, "" for a change in silence.
	says string
}

// checkSettings adds to a problem what MariaDB does not take of a configuration. It
// asks the program that is installed, which the next start runs, and for what
// changes without a restart the server that runs now.
func (k *Kind) checkSettings(ctx context.Context, staged converge.Staged, spec api.DBServer, problem *api.Problem) error {
	lines := variablesOf(staged.Name, spec)
	config, err := os.ReadFile(staged.Path(PathsOf(staged.Name).Config))
	if err != nil {
		return fmt.Errorf("read the staged configuration: %w", err)
	}
	config, faults, v, err := k.try(ctx, config, lines, spec, problem)
	if err != nil {
		return err
	}
	running, version := k.running(ctx, staged.Name)
	if v.version != "" && version != v.version {
		faults = append(faults, outOfBounds(lines, faults, running)...)
	}
	if len(faults) == 0 {
		return nil
	}
	if version == "" {
		version = v.version
	}
	known := k.known(ctx, config, faults, v, running)
	for _, f := range faults {
		server := strings.TrimSpace("MariaDB " + version)
		detail := f.explain(server, known[f.Name])
		if f.Type == api.DBSettingName && f.adopts == "" {
			detail = f.explainName(server, known[f.Name].words, v.adopted[f.Name])
		}
		problem.Violations = append(problem.Violations, api.Violation{Pointer: f.pointer, Detail: detail})
	}
	return nil
}

// try has MariaDB read a configuration. It stops at the first value that it
// cannot read, so it is asked again without that, until it has read all, or
// [maxTries] times. What it refuses and what is no setting's goes to the problem
// itself. The first result is the configuration that it has read in the end.
func (k *Kind) try(ctx context.Context, config []byte, lines []variable, spec api.DBServer, problem *api.Problem) ([]byte, []fault, verdict, error) {
	var faults []fault
	for tries := 1; ; tries++ {
		v, err := k.check(ctx, config)
		if err != nil && len(faults) > 0 {
			problem.Violations = append(problem.Violations, api.Violation{Pointer: "/settings", Detail: notAll})
			return config, faults, v, nil // what was found stands
		}
		if err != nil {
			return nil, nil, v, fmt.Errorf("check the configuration with mariadbd --help: %w", err)
		}
		messages := parseMessages(v.output)
		if !v.refused {
			return config, append(faults, changed(lines, messages, v, spec)...), v, nil
		}
		// What it changes it says again once it can read the rest.
		refused := refusal("", errorsOf(messages), spec)
		problem.Log = append(problem.Log, refused.Log...)
		var wrong []fault
		lines = slices.DeleteFunc(slices.Clone(lines), func(l variable) bool {
			i := slices.IndexFunc(refused.Violations, func(x api.Violation) bool { return x.Pointer == l.pointer && l.pointer != "" })
			if i >= 0 {
				wrong = append(wrong, fault{variable: l, says: refused.Violations[i].Detail})
			}
			return i >= 0
		})
		if len(wrong) == 0 {
			problem.Detail = refused.Detail
			if problem.Detail == "" {
				problem.Violations = append(problem.Violations, refused.Violations...)
			}
			return config, faults, v, nil
		}
		faults = append(faults, wrong...)
		if tries == maxTries {
			problem.Violations = append(problem.Violations, api.Violation{Pointer: "/settings", Detail: notAll})
			lines = nil // the next run tells of its version and words
		}
		config = configText(lines)
	}
}

// errorsOf returns the errors among messages, and all if there are none: then
// the reason is among the warnings.
func errorsOf(messages []message) []message {
	found := slices.DeleteFunc(slices.Clone(messages), func(m message) bool { return m.level != levelError })
	if len(found) == 0 {
		return messages
	}
	return found
}

// changed returns the settings that MariaDB would start with other values of.
func changed(lines []variable, messages []message, v verdict, spec api.DBServer) []fault {
	var faults []fault
	for _, l := range lines {
		adopted, shown := v.adopted[l.Name]
		if !shown || len(l.pointer.Steps()) != 2 {
			continue
		}
		if adopted = canonical(l.DBSetting, adopted); adopted == l.value {
			continue
		}
		f := fault{variable: l, adopts: adopted}
		for _, m := range messages {
			if slices.Contains(m.pointers(spec), l.pointer) {
				f.says = api.Shorten(m.text, maxDetail)
			}
		}
		faults = append(faults, f)
	}
	return faults
}

// outOfBounds returns the settings that a running server would not take: a
// package that was updated is not yet the server that runs.
func outOfBounds(lines []variable, faults []fault, running map[string]bounds) []fault {
	var found []fault
	for _, l := range lines {
		n, err := strconv.ParseInt(l.value, 10, 64)
		if err != nil || !l.Runtime || len(l.pointer.Steps()) != 2 || running[l.Name].allows(n) ||
			slices.ContainsFunc(faults, func(f fault) bool { return f.Name == l.Name }) {
			continue
		}
		found = append(found, fault{variable: l})
	}
	return found
}

// running returns what the server that runs now allows, and its version; none
// if no server answers.
func (k *Kind) running(ctx context.Context, name string) (map[string]bounds, string) {
	p := PathsOf(name)
	status, err := k.Units.Status(ctx, p.Unit)
	if err != nil || !status.Active() {
		return nil, ""
	}
	all, version, err := k.connect(k.root + p.Socket).Bounds(ctx)
	if err != nil {
		return nil, "" // the program that is installed can still be asked
	}
	version, _, _ = strings.Cut(version, "-")
	return all, version
}

// known returns what is allowed of the settings that are at fault. A server that
// runs says it; else the program's help has the words, and its bounds are what it
// makes of the least and the greatest number.
func (k *Kind) known(ctx context.Context, config []byte, faults []fault, v verdict, running map[string]bounds) map[string]bounds {
	known := map[string]bounds{}
	var low, high []string
	for _, f := range faults {
		switch b, found := running[f.Name]; {
		case found:
			known[f.Name] = b
		case len(v.words[f.Name]) > 0:
			known[f.Name] = bounds{words: v.words[f.Name]}
		case f.Type == api.DBSettingInt || f.Type == api.DBSettingSize:
			option := "--" + strings.ReplaceAll(f.Name, "_", "-") + "="
			low, high = append(low, option+"0"), append(high, option+strconv.FormatInt(math.MaxInt64, 10))
		}
	}
	if len(low) == 0 {
		return known
	}
	least, errLow := k.check(ctx, config, low...)
	most, errHigh := k.check(ctx, config, high...)
	if errLow != nil || errHigh != nil {
		return known // what it would use instead is known
	}
	for _, f := range faults {
		if _, found := known[f.Name]; !found {
			if b := parseBounds(least.adopted[f.Name], most.adopted[f.Name], "", ""); b.numeric && b.low < b.high {
				known[f.Name] = b
			}
		}
	}
	return known
}

// explain says what is wrong with a setting, what the server allows and what to do.
func (f fault) explain(server string, allowed bounds) string {
	text := fmt.Sprintf("%s would use %s instead of %s", server, f.show(f.adopts), f.show(f.value))
	unknown := f.unknown(allowed.words)
	switch {
	case len(unknown) > 0 && f.Type != api.DBSettingName: // a name may be another's alias
		text = fmt.Sprintf("%s does not know %s", server, strings.Join(unknown, ", "))
	case f.adopts == "" && f.says != "":
		text = fmt.Sprintf("%s refuses %s: %s", server, f.show(f.value), strings.TrimSuffix(f.says, "."))
	case f.adopts == "" && f.Type != api.DBSettingSet:
		text = fmt.Sprintf("%s does not allow %s", server, f.show(f.value))
	}
	what, write := allowed.describe(f.DBSetting), "Write one of those"
	if allowed.numeric {
		write = "Write a value of that range"
	}
	switch n, err := strconv.ParseInt(f.value, 10, 64); {
	case what == "" && f.adopts != "":
		return fmt.Sprintf("%s. Write %s, or another value that it takes as it is", text, f.show(f.adopts))
	case what == "":
		return text
	case err == nil && allowed.numeric && allowed.allows(n): // it depends on something else
		return fmt.Sprintf("%s; it allows %s, as far as other settings do. Write %s, or change those", text, what, f.show(f.adopts))
	}
	return fmt.Sprintf("%s; it allows %s. %s", text, what, write)
}

// explainName is explain for a name that the server refuses, as it does not know
// it or as it does not fit another setting. A server that runs has the names
// that it knows; of one that does not, the name that it starts with otherwise is known.
func (f fault) explainName(server string, known []string, fallback string) string {
	refuses := fmt.Sprintf("%s refuses %q: %s", server, f.value, strings.TrimSuffix(f.says, "."))
	switch {
	case len(f.unknown(known)) > 0:
		return fmt.Sprintf("%s does not know %q%s. Write one that it knows", server, f.value,
			api.Suggest("; the nearest that it knows are ", api.Quoted(api.NearestCharset(f.value, known))))
	case len(known) == 0 && fallback != "" && !strings.HasPrefix(fallback, "("): // "(No default value)"
		return fmt.Sprintf("%s. Write one that it knows, such as %q", refuses, fallback)
	}
	return refuses
}

// unknown returns the words of a value that are not among those that are known.
func (f fault) unknown(known []string) []string {
	var found []string
	for word := range strings.SplitSeq(f.value, ",") {
		if len(known) > 0 && word != "" && !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, word) }) {
			found = append(found, strconv.Quote(word))
		}
	}
	return found
}

// show writes a value as a user would.
func (f fault) show(value string) string {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return f.Format(n)
	}
	return strconv.Quote(value)
}

// configText returns a configuration of some lines, for the checker alone.
func configText(lines []variable) []byte {
	text := []byte("[mariadbd]\n")
	for _, l := range lines {
		text = fmt.Appendf(text, "%s=%s\n", l.Name, l.value)
	}
	return text
}
