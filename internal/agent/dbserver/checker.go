package dbserver

import (
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// verdict is what the MariaDB that is installed makes of a configuration.
type verdict struct {
	// refused tells that it would not start with it; then only output is known.
	refused bool
	// output is what it wrote about the configuration, errors and warnings.
	output string
	// version is its version, such as "11.8.6".
	version string
	// adopted are the values that it would run with, by name with underscores.
	// They differ from the configuration where a value is out of its bounds.
	adopted map[string]string
	// words are the words that it knows of each setting that is a list of them.
	words map[string][]string
}

// runChecker has MariaDB read a configuration as it would at its start, and
// print what it makes of it; it opens no data. Its directories do not exist in
// its sandbox, so it is given others. Options override the configuration.
func runChecker(ctx context.Context, config []byte, options ...string) (verdict, error) {
	args := slices.Concat([]string{
		"--defaults-file=" + checker.ConfigPath, "--datadir=" + checker.WorkDir, "--tmpdir=" + checker.WorkDir,
		"--secure-file-priv=" + checker.WorkDir,
		"--log-warnings=2", // else it does not say what it changes for want of descriptors
	}, options, []string{"--help", "--verbose"})
	var help strings.Builder
	output, err := checker.Run(ctx, checker.Check{
		Program: program, Args: args, Account: account, Config: config, Reads: []string{"/usr/share/mariadb"}, Results: &help,
	})
	if _, refused := errors.AsType[*checker.Refusal](err); refused {
		return verdict{refused: true, output: output}, nil
	}
	return parseVerdict(help.String(), output, options...), err
}

var (
	versionPattern = regexp.MustCompile(`\bVer (\d+\.\d+\.\d+)`)
	// limitsPattern is what MariaDB writes when its process may not have as many
	// descriptors as it wants. That of the checker has the agent's limits.
	limitsPattern = regexp.MustCompile(`Changed limits: .*max_connections: \d+ \(was (\d+)\)\s+table_cache: \d+ \(was (\d+)\)`)
	// levelPattern is what it writes of the one setting that the checker has a value of its own for.
	levelPattern  = regexp.MustCompile(`option 'log.warnings': \w* ?value \d+ adjusted to (\d+)`)
	wordsPattern  = regexp.MustCompile(`(?s)(?:One of|Any combination of): (.*)`)
	optionPattern = regexp.MustCompile(`(?m)^ {2}(?:-., )?--([a-z0-9-]+)`)
)

// parseVerdict reads what "mariadbd --help --verbose" printed when it ran with options.
func parseVerdict(help, output string, options ...string) verdict {
	v := verdict{output: output, adopted: map[string]string{}, words: map[string][]string{}}
	if match := versionPattern.FindStringSubmatch(help); match != nil {
		v.version = match[1]
	}
	described, table, _ := strings.Cut(help, "\nVariables (--variable-name=value)\n")
	v.readWords(described)
	_, table, _ = strings.Cut(table, "\n-") // the line below the heading
	for i, row := range strings.Split(table, "\n") {
		if i == 0 {
			continue
		}
		if strings.TrimSpace(row) == "" {
			break
		}
		name, value, _ := strings.Cut(row, " ")
		v.adopted[settingName(name)] = strings.TrimSpace(value)
	}
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "--log-warnings=") }) {
		delete(v.adopted, "log_warnings") // what is shown is the checker's own
		if match := levelPattern.FindStringSubmatch(output); match != nil {
			v.adopted["log_warnings"] = match[1]
		}
	}
	if match := limitsPattern.FindStringSubmatch(output); match != nil {
		v.adopted["max_connections"], v.adopted["table_open_cache"] = match[1], match[2]
	}
	return v
}

// readWords reads the lists of words from the description of the options.
func (v *verdict) readWords(options string) {
	found := optionPattern.FindAllStringSubmatchIndex(options, -1)
	for i, at := range found {
		end := len(options)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		list := wordsPattern.FindStringSubmatch(options[at[1]:end])
		if list == nil {
			continue
		}
		var words []string
		for part := range strings.SplitSeq(list[1], ",") {
			fields := strings.Fields(part)
			if len(fields) == 0 || fields[0] == "or" { // "or ALL to set all combinations"
				break
			}
			word, last := strings.CutSuffix(fields[0], ".")
			words = append(words, word)
			if last {
				break
			}
		}
		v.words[settingName(options[at[2]:at[3]])] = words
	}
}

// settingName returns the name of a variable as settings are named.
func settingName(text string) string {
	return strings.ReplaceAll(strings.ToLower(text), "-", "_")
}

// bounds are what a server allows of one variable.
type bounds struct {
	// numeric tells that low and high count; step is 1 if any number between is allowed.
	numeric         bool
	low, high, step int64
	words           []string
}

// endless is from where on a bound is no bound that anybody meets.
const endless = math.MaxInt64 >> 8

// allows reports whether a server takes a number as it is.
func (b bounds) allows(n int64) bool {
	return !b.numeric || n >= b.low && n <= b.high && (b.step <= 1 || n%b.step == 0)
}

// describe says what is allowed, "" if it is not known.
func (b bounds) describe(s api.DBSetting) string {
	low := max(b.low, s.Min)
	switch {
	case s.Type == api.DBSettingName:
		return "" // there are hundreds
	case len(b.words) > 0 && s.Type == api.DBSettingSet:
		return "any of " + strings.Join(b.words, ", ")
	case len(b.words) > 0:
		return "one of " + strings.Join(b.words, ", ")
	case !b.numeric:
		return ""
	}
	text := s.Format(low) + " to " + s.Format(b.high)
	if b.high >= endless {
		text = s.Format(low) + " or more"
	}
	if b.step > 1 {
		text += ", in steps of " + s.Format(b.step)
	}
	return text
}

// parseBounds reads bounds as information_schema.SYSTEM_VARIABLES has them.
func parseBounds(low, high, step, words string) bounds {
	var b bounds
	if words != "" {
		b.words = strings.Split(words, ",")
	}
	var errLow, errHigh error
	b.low, errLow = strconv.ParseInt(low, 10, 64)
	most, errHigh := strconv.ParseUint(high, 10, 64)
	b.high = int64(min(most, math.MaxInt64)) //nolint:gosec // fits now
	b.numeric = errLow == nil && errHigh == nil
	b.step, _ = strconv.ParseInt(step, 10, 64)
	return b
}
