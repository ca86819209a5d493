package api

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// DBSettingType is what the values of a setting look like.
type DBSettingType string

// The types of settings.
const (
	// DBSettingBool is ON or OFF; 1, 0, true and false are understood.
	DBSettingBool DBSettingType = "bool"
	// DBSettingInt is a whole number.
	DBSettingInt DBSettingType = "int"
	// DBSettingSize is a number of bytes, with a suffix K, M, G or T if wanted.
	DBSettingSize DBSettingType = "size"
	// DBSettingSeconds is a number of seconds with up to six decimals.
	DBSettingSeconds DBSettingType = "seconds"
	// DBSettingEnum is one word of a list, DBSettingSet any number of them
	// with commas between. Case does not matter.
	DBSettingEnum DBSettingType = "enum"
	DBSettingSet  DBSettingType = "set"
	// DBSettingName is a name that the engine knows, such as a collation's.
	DBSettingName DBSettingType = "name"
)

// DBSetting is one variable of an engine and what it may be.
type DBSetting struct {
	Name string
	Type DBSettingType
	// Min and Max bound a number, in bytes or seconds where the type says so.
	Min, Max int64
	// Step is what a number must be a multiple of; 0 is no such rule. The
	// engine would round to it in silence.
	Step int64
	// Values are the words of an enum or a set, as the engine writes them.
	Values []string
	// Default is what holds unless the setting is given; empty is the engine's own.
	Default string
	// Runtime tells that a running engine takes the change; else it restarts.
	Runtime bool
	// Computed tells that the engine works its default out at a start: what it
	// calls the default while it runs is another value.
	Computed bool
	// Doc says what the setting does, in one sentence.
	Doc string
}

// maxSettingText bounds the text of a setting, in bytes.
const maxSettingText = 512

var namePatternOfSetting = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Parse returns the canonical form of a value, in which equal values are equal
// texts: "128M" and "134217728" are both "134217728". Its error tells what is
// allowed.
func (s DBSetting) Parse(text string) (string, error) {
	if len(text) > maxSettingText {
		return "", fmt.Errorf("has %d bytes; at most %d are allowed", len(text), maxSettingText)
	}
	switch s.Type {
	case DBSettingBool:
		return parseBool(text)
	case DBSettingInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is no whole number; allowed are %s", text, s.Range())
		}
		return s.bounded(text, n)
	case DBSettingSize:
		n, err := ParseSize(text)
		if err != nil {
			return "", fmt.Errorf("%w; allowed are %s", err, s.Range())
		}
		return s.bounded(text, n)
	case DBSettingSeconds:
		return s.parseSeconds(text)
	case DBSettingEnum:
		return s.word(text)
	case DBSettingSet:
		return s.words(text)
	case DBSettingName:
		if !namePatternOfSetting.MatchString(text) {
			return "", fmt.Errorf("%q is no name: allowed are lower-case letters, digits and underscores, such as %q", text, "utf8mb4")
		}
		return text, nil
	}
	return "", fmt.Errorf("the setting %s has the unknown type %q", s.Name, s.Type)
}

// Range tells what values are allowed: "2M to 16T, in steps of 1M".
func (s DBSetting) Range() string {
	switch s.Type {
	case DBSettingBool:
		return "ON and OFF"
	case DBSettingInt:
		return fmt.Sprintf("%d to %d%s", s.Min, s.Max, s.steps(strconv.FormatInt(s.Step, 10)))
	case DBSettingSize:
		return fmt.Sprintf("%s to %s%s", FormatSize(s.Min), FormatSize(s.Max), s.steps(FormatSize(s.Step)))
	case DBSettingSeconds:
		return fmt.Sprintf("%d to %d seconds, with up to six decimals", s.Min, s.Max)
	case DBSettingEnum, DBSettingSet:
		return list(s.Values)
	case DBSettingName:
		return "names that the engine knows"
	}
	return ""
}

func (s DBSetting) steps(size string) string {
	if s.Step <= 1 {
		return ""
	}
	return ", in steps of " + size
}

func (s DBSetting) bounded(text string, n int64) (string, error) {
	if n < s.Min || n > s.Max {
		return "", fmt.Errorf("%q is out of range; allowed are %s", text, s.Range())
	}
	if s.Step > 1 && n%s.Step != 0 {
		return "", fmt.Errorf("%q would be rounded by the engine; allowed are %s", text, s.Range())
	}
	return strconv.FormatInt(n, 10), nil
}

var secondsPattern = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,6})?$`)

func (s DBSetting) parseSeconds(text string) (string, error) {
	if !secondsPattern.MatchString(text) {
		return "", fmt.Errorf("%q is no number of seconds; allowed are %s", text, s.Range())
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < float64(s.Min) || n > float64(s.Max) {
		return "", fmt.Errorf("%q is out of range; allowed are %s", text, s.Range())
	}
	return strconv.FormatFloat(n, 'f', -1, 64), nil
}

func (s DBSetting) word(text string) (string, error) {
	for _, value := range s.Values {
		if strings.EqualFold(value, text) {
			return value, nil
		}
	}
	return "", fmt.Errorf("%q is unknown; allowed are: %s", text, list(s.Values))
}

// words returns the words of a set in the order of the table.
func (s DBSetting) words(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	given := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		word, err := s.word(strings.TrimSpace(part))
		if err != nil {
			return "", err
		}
		given[word] = true
	}
	return strings.Join(slices.DeleteFunc(slices.Clone(s.Values), func(v string) bool { return !given[v] }), ","), nil
}

func parseBool(text string) (string, error) {
	switch strings.ToLower(text) {
	case "on", "1", "true":
		return "ON", nil
	case "off", "0", "false":
		return "OFF", nil
	}
	return "", fmt.Errorf("%q is neither ON nor OFF", text)
}

const sizeSuffixes = "KMGT"

// ParseSize reads a number of bytes, with a suffix K, M, G or T in either case
// for powers of 1024.
func ParseSize(text string) (int64, error) {
	digits, factor := text, int64(1)
	if text != "" {
		if i := strings.IndexByte(sizeSuffixes, upper(text[len(text)-1])); i >= 0 {
			digits, factor = text[:len(text)-1], 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strings.ContainsAny(digits, "+-") {
		if errors.Is(err, strconv.ErrRange) {
			return 0, fmt.Errorf("%q is too large a size", text)
		}
		return 0, fmt.Errorf("%q is no size: write bytes, or a number with K, M, G or T, such as %q", text, "512M")
	}
	if n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is too large a size", text)
	}
	return n * factor, nil
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// FormatSize writes a number of bytes with the largest suffix that divides it.
func FormatSize(n int64) string {
	suffix := ""
	for i := 0; i < len(sizeSuffixes) && n != 0 && n%1024 == 0; i++ {
		n /= 1024
		suffix = sizeSuffixes[i : i+1]
	}
	return strconv.FormatInt(n, 10) + suffix
}
