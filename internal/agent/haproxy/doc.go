// Package haproxy speaks with HAProxy 3.0: it quotes text for its
// configuration, reads its messages, and talks to its master process and,
// through that, to its current worker. It holds only what HAProxy defines;
// what foobar makes of it stands with the kinds that use it.
package haproxy
