package appserver

import (
	"fmt"
	"regexp"
)

// nginxStamp begins a line of nginx: its time, process and connection.
var nginxStamp = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\[\w+\]) \d+#\d+: (?:\*\d+ )?`)

// unstamped is a line without what tells it from one that says the same.
func unstamped(line string) string { return nginxStamp.ReplaceAllString(line, "$1 ") }

// fold returns lines with those that follow an equal one counted and not repeated. An
// app or nginx that says the same to each question leaves room for the reason so.
func fold(lines []string) []string {
	var folded []string
	times := 1
	flush := func() {
		if last := len(folded) - 1; times > 1 {
			folded[last] += fmt.Sprintf(" (%d times)", times)
		}
		times = 1
	}
	for i, line := range lines {
		if i > 0 && unstamped(line) == unstamped(lines[i-1]) {
			times++
			continue
		}
		flush()
		folded = append(folded, line)
	}
	flush()
	return folded
}
