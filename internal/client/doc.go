// Package client calls an agent: over mutual TLS from the provider, over the
// local socket on the machine itself.
//
// A [Pool] holds the credentials and one [Machine] for each target; a Machine
// has a typed call for every route. Whoever answers has to prove that it is
// the machine meant; [Machine.Enroll] makes the one connection to a machine
// that cannot prove it yet, and that connection is worth nothing until the
// proofs of the enrolment hold.
//
// Failures are distinguished by type: [Unreachable], [NotEnrolled],
// [WrongMachine], [WrongCA], [ClockMismatch], [ProofFailed], [TooOld], and
// [api.Problem] for whatever the agent itself answers.
package client
