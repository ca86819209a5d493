// Package tfutil holds what the provider's resources share and what has no
// room of its own in Terraform's framework: the provider's data, the machine
// attribute, the type of durations, and the one mapper that turns
// what an agent answers into diagnostics on attribute paths.
package tfutil
