// Package api is the contract between the provider and the agents: the specs
// that are written, the statuses that are read, the operations in between, and
// the problems that either ends with. It holds plain data and pure functions
// over it, and imports the standard library only.
//
// Two rules keep old and new apart: an agent decodes a spec strictly (see
// [Decode]), so that nothing that was asked for is silently left out; a
// provider decodes a status leniently, so that a newer agent may say more.
package api
