package api

import (
	"fmt"
	"log/slog"
)

// Secret is a text that must not be seen. It prints, formats and logs as a
// placeholder; only [Secret.Reveal] and JSON show it, the latter because the
// wire and the root-only store need it.
type Secret string

const placeholder = "(secret)"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (s Secret) String() string { return placeholder }

// GoString returns a placeholder.
func (s Secret) GoString() string { return placeholder }

// Format prints a placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(placeholder)) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(placeholder) }
