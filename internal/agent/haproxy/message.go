package haproxy

import (
	"regexp"
	"strconv"
	"strings"
)

// Level is how bad a message of HAProxy is.
type Level string

// The levels of messages.
const (
	Notice  Level = "NOTICE"
	Warning Level = "WARNING"
	Alert   Level = "ALERT"
)

// Message is one message of HAProxy, as its checker, its master and its
// journal print them.
type Message struct {
	Level Level
	// Line is the line of the configuration that it is about, 0 if it names none.
	Line int
	// Text is the message without its prefix and without any path.
	Text string
}

var (
	messagePattern  = regexp.MustCompile(`^\[(NOTICE|WARNING|ALERT)\]\s+\(\d+\) : (.*)$`)
	functionPattern = regexp.MustCompile(`^\[[^\]]*\(\)\] `)
	positionPattern = regexp.MustCompile(`(?i)(?:parsing )?\[(/[^\]\s]*):(\d+)\](?: ?: ?)?`)
	pathPattern     = regexp.MustCompile(`/(?:[^\s/'"<>\[\]()]+/)+([^\s/'"<>\[\]():,]+)`)
)

// boilerplate tells a message that only says that there were others, or one of
// the descriptor limit, which stops nothing and which "show info" tells better.
func boilerplate(text string) bool {
	for _, start := range []string{
		"haproxy version is ", "path to executable is ", "Error(s) found in configuration file",
		"Fatal errors found in configuration", "Some warnings were found and 'zero-warning' is set",
		"Some protocols failed to start their listeners", "Loading failure!",
		"Cannot raise FD limit", "FD limit (",
	} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return false
}

// ParseMessages finds HAProxy's messages in its output; lines of another shape
// are continuations of the message before them, or passed over. Messages that
// only sum up others are left out.
func ParseMessages(output string) []Message {
	var messages []Message
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if rest, ok := strings.CutPrefix(line, "   | "); ok && len(messages) > 0 {
			messages[len(messages)-1].Text += " " + strings.TrimSpace(rest)
			continue
		}
		parts := messagePattern.FindStringSubmatch(line)
		if parts == nil {
			continue
		}
		messages = append(messages, parseMessage(Level(parts[1]), parts[2]))
	}
	kept := messages[:0]
	for _, m := range messages {
		if !boilerplate(m.Text) {
			kept = append(kept, m)
		}
	}
	return kept
}

func parseMessage(level Level, text string) Message {
	text = functionPattern.ReplaceAllString(strings.TrimPrefix(text, "config : "), "")
	m := Message{Level: level}
	if at := positionPattern.FindStringSubmatchIndex(text); at != nil {
		m.Line, _ = strconv.Atoi(text[at[4]:at[5]]) // too long a number stays 0: no line
		text = text[:at[0]] + text[at[1]:]
	}
	m.Text = strings.Join(strings.Fields(pathPattern.ReplaceAllString(text, "$1")), " ")
	return m
}
