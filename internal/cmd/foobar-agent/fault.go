//go:build !faults

package main

// fault returns the seam for faults of the agent, which has none: only one that is
// built with the tag "faults" can be stopped at a step, for the tests that kill it
// or its machine there.
func fault() func(step string) error { return nil }
