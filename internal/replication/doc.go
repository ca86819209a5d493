// Package replication is the topology logic of databases: what is seen becomes
// a [Snapshot]; [Analyze] finds what is wrong with it and [Plan] the steps that
// set it right, both pure; an [Executor] carries the steps out. An [Engine] is
// one database server, seen from its own machine.
//
// The README of this directory has the invariants and the tables.
package replication
