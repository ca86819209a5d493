// Package pki makes and checks everything that trust between the provider and
// the machines rests on: the CA that follows from one seed, the certificates
// that it signs, and the two proofs of an enrolment.
//
// It is pure: clock and randomness are arguments, nothing is stored, nobody is
// called. Whatever is derived from the seed is derived without randomness, so
// that the same inputs give the same bytes on every host.
package pki
