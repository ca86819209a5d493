package api

import (
	"fmt"
	"strings"
)

// Short returns a text that others wrote whole, or no more than its first bytes and how
// many it had. It cuts no character in two.
func Short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:most], ""), len(text))
}
