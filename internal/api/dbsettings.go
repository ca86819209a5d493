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
	// DBSettingEnum is one word of a list that the server has, DBSettingSet any
	// number of them with commas between. Case does not matter.
	DBSettingEnum DBSettingType = "enum"
	DBSettingSet  DBSettingType = "set"
	// DBSettingName is a name that the engine knows, such as a collation's.
	DBSettingName DBSettingType = "name"
)

// DBSetting is one variable of an engine: its type, and what a change of it
// costs. The bounds of a number and the words of a list belong to the server:
// they change from one point release to the next, so they are not kept here. The
// agent asks the server for them when it checks a configuration.
type DBSetting struct {
	Name string
	Type DBSettingType
	// Min is the least value that this product allows where the server allows
	// less, in bytes or seconds where the type says so; 0 is the server's own.
	Min int64
	// Default is what holds unless the setting is given; empty is the engine's own.
	Default string
	// Runtime tells that a running engine takes the change; else it restarts.
	Runtime bool
	// Computed tells that the engine works its default out at a start: what it
	// calls the default while it runs is another value.
	Computed bool
	// Memory tells that a value is an amount of the machine's memory, Shared that
	// the server takes it once, for all its clients.
	Memory, Shared bool
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
		if err != nil || n < 0 {
			return "", errorf("%q is not %s", text, s.Allowed())
		}
		return s.bounded(text, n)
	case DBSettingSize:
		n, err := ParseSize(text)
		if err != nil {
			return "", err
		}
		return s.bounded(text, n)
	case DBSettingSeconds:
		return s.parseSeconds(text)
	case DBSettingEnum:
		return word(text)
	case DBSettingSet:
		return words(text)
	case DBSettingName:
		if !namePatternOfSetting.MatchString(text) {
			return "", errorf("%q is no name: allowed are lower-case letters, digits and underscores, such as %q", text, "utf8mb4")
		}
		return text, nil
	}
	return "", fmt.Errorf("the setting %s has the unknown type %q", s.Name, s.Type)
}

// Allowed says what values a spec may have on any server: "a size, 64M or more".
func (s DBSetting) Allowed() string {
	least := ""
	if s.Min > 0 {
		least = fmt.Sprintf(", %s or more", s.Format(s.Min))
	}
	switch s.Type {
	case DBSettingBool:
		return "ON or OFF"
	case DBSettingInt:
		return "a whole number" + least
	case DBSettingSize:
		return "a size" + least
	case DBSettingSeconds:
		return "seconds, with up to six decimals" + least
	case DBSettingEnum:
		return "a word that the server knows"
	case DBSettingSet:
		return "words that the server knows, with commas between"
	case DBSettingName:
		return "a name that the server knows"
	}
	return ""
}

// Format writes a number as a user would: a size with a suffix.
func (s DBSetting) Format(n int64) string {
	if s.Type == DBSettingSize {
		return FormatSize(n)
	}
	return strconv.FormatInt(n, 10)
}

func (s DBSetting) bounded(text string, n int64) (string, error) {
	if n < s.Min {
		return "", errorf("%q is too small: it has to be %s", text, s.Allowed())
	}
	return strconv.FormatInt(n, 10), nil
}

var secondsPattern = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,6})?$`)

func (s DBSetting) parseSeconds(text string) (string, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !secondsPattern.MatchString(text) {
		return "", errorf("%q is not a number of %s, such as %q", text, s.Allowed(), "0.5")
	}
	return strconv.FormatFloat(n, 'f', -1, 64), nil
}

var wordPatternOfSetting = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// word returns a word in capitals, as engines list their words. Whether the
// server knows it is for the server to say.
func word(text string) (string, error) {
	if !wordPatternOfSetting.MatchString(text) {
		return "", errorf("%q is not a word: allowed are letters, digits, dashes and underscores, such as %q", text, "READ-COMMITTED")
	}
	return strings.ToUpper(text), nil
}

// words returns the words of a set, each once and sorted: their order means nothing.
func words(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		one, err := word(strings.TrimSpace(part))
		if err != nil {
			return "", err
		}
		all = append(all, one)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ","), nil
}

func parseBool(text string) (string, error) {
	switch strings.ToLower(text) {
	case "on", "1", "true":
		return "ON", nil
	case "off", "0", "false":
		return "OFF", nil
	}
	return "", errorf("%q is neither ON nor OFF", text)
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
			return 0, errorf("%q is too large a size", text)
		}
		return 0, errorf("%q is no size: write bytes, or a number with K, M, G or T, such as %q", text, "512M")
	}
	if n > math.MaxInt64/factor {
		return 0, errorf("%q is too large a size", text)
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
