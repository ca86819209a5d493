package api

import (
	"slices"
	"strings"
	"testing"
)

// HAProxy knows these words (configuration manual, section 5.2), and takes
// others for a fault of the agent.
func TestAgentChecksAreWordsOfHAProxy(t *testing.T) {
	known := []string{"up", "down", "ready", "drain"}
	for _, answer := range AgentChecks() {
		line, ended := strings.CutSuffix(answer.Line(), "\n")
		if !ended || strings.ContainsAny(line, "\r\n#") {
			t.Errorf("%q is not one line", answer.Line())
		}
		for word := range strings.FieldsSeq(line) {
			if !slices.Contains(known, word) {
				t.Errorf("%q: HAProxy does not know %q", line, word)
			}
		}
	}
}
