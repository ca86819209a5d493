package appserver

import (
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// minBacklog is the number of connections that have to fit into the queue of an app's
// socket, if its apply is not to warn: that of listen(2) in the time before Linux 5.4.
const minBacklog = 128

// shortBacklog warns of an app whose socket lets few connections wait. On a Unix socket one
// more fails at once, and its client gets an error. Where it cannot be read, the socket
// works all the same. An app on a port is left out: TCP tries again.
func (k *Kind) shortBacklog(l layout, s api.AppServer, slot string) []api.Condition {
	if s.StaticSite() || l.shims(s) {
		return nil
	}
	backlog, err := k.backlog(k.machine.path(l.appSocket(slot)))
	if err != nil || backlog >= minBacklog {
		return nil
	}
	return []api.Condition{{Type: "BacklogShort", Severity: api.SeverityWarning, Pointer: "/command", Message: fmt.Sprintf(
		"The app lets %d connections wait at its socket; in a burst, the next ones fail at once. Have it listen with a backlog of %d or more: request_queue_size in a server class of Python's socketserver and http.server (default 5), --backlog of uvicorn and gunicorn (default 2048), the second argument of listen(2) elsewhere; Go's net.Listen takes all that the machine allows.",
		backlog, minBacklog)}}
}
