package tfutil

import (
	"slices"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Or returns what p points at, and fallback if p is nil: an optional attribute
// that was left out.
func Or[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// Optional returns a pointer to v, nil if v is its type's zero value: how a
// spec's "none" becomes an attribute that is null.
func Optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Sorted returns the texts of a set in the one order that a spec gives them,
// without repeats; never nil.
func Sorted(texts []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(texts)))
	if sorted == nil {
		return []string{}
	}
	return sorted
}

// Durations reads a model's durations and collects those that are none. The
// zero value is ready to use.
type Durations struct {
	found api.Violations
}

// Or reads the duration at a place of the spec, which is fallback if text is nil.
func (d *Durations) Or(text *string, fallback api.Duration, at api.Pointer) api.Duration {
	if text == nil {
		return fallback
	}
	parsed, err := api.ParseDuration(*text)
	if err != nil {
		d.found.Add(at, "%v", err)
	}
	return parsed
}

// Problem returns what was wrong with the durations, nil if nothing was.
func (d *Durations) Problem() error { return d.found.Problem() }
