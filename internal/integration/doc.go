// Package integration holds the tests in which the provider meets agents: both
// in one process, over real TLS on the loopback interface. It stands above both
// rooms, which do not know each other. What takes a machine is in package
// acceptance.
package integration
