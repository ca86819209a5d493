package replication

import (
	"cmp"
	"fmt"
	"strings"
)

// errLogGone is the source's answer to a replica that asks for binary logs
// which are gone (ER_MASTER_FATAL_ERROR_READING_BINLOG).
const errLogGone = 1236

// errServerID is a replica's when its source has its own server id
// (ER_SLAVE_FATAL_ERROR, which is given for other fatal settings too).
const errServerID = 1593

// errno is what an error of a replica's thread means.
type errno struct {
	means string
	next  string
	// cured tells that setting the source anew and starting again may help.
	cured bool
}

// receiverErrors are those of the thread that fetches; the numbers are those of
// MariaDB's error list, from 2000 those of its client library.
func receiverErrors(number int) errno {
	const network = "check that the primary runs, listens on its address and lets this machine through; the replica goes on by itself"
	switch number {
	case 1045, 1698:
		return errno{means: "the primary refuses the replication account or its password", next: "an apply sets the password on both sides", cured: true}
	case errLogGone:
		return errno{means: "the primary cannot send what the replica needs"}
	case errServerID:
		return errno{means: "a fatal setting, such as the same server_id on both sides", next: "give each member's foobar_db_server a server_id of its own"}
	case 2026, 3159, 1043:
		return errno{means: "TLS with the primary failed", next: "an apply issues the certificates and sets their paths again; compare the names in the primary's certificate", cured: true}
	case 2002, 2003, 2005, 2006, 2013, 1158, 1159, 1160, 1161:
		return errno{means: "the primary cannot be reached", next: network}
	case 1040, 1203:
		return errno{means: "the primary has no connection left", next: "raise max_connections of the primary's foobar_db_server, or end clients"}
	}
	return errno{means: "the receiver failed", next: "terraform apply starts it again", cured: true}
}

// applierErrors are those of the thread that executes. An event is never
// skipped: what is not cured by another try means that the data differ.
func applierErrors(number int) errno {
	switch number {
	case 1062:
		return errno{means: "a row is there already: the data differ from the primary's"}
	case 1032:
		return errno{means: "a row is missing: the data differ from the primary's"}
	case 1950:
		return errno{means: "a transaction comes out of order: somebody wrote to this replica"}
	case 1205, 1213:
		return errno{means: "a lock was not to be had", cured: true}
	case 1021, 1114, 1030, 1026, 3:
		return errno{means: "the disk is full or failed", next: "make room, then apply", cured: true}
	case 1594, 1744:
		return errno{means: "the relay log is damaged", next: "an apply has the replica fetch it from the primary again", cured: true}
	}
	return errno{means: "an event cannot be applied"}
}

// ioError leaves out what [CannotCatchUp] tells.
func ioError(v sight) []hit {
	return threadErrors(v, func(s SourceView) (Thread, errno) {
		known := receiverErrors(s.Receiver.Errno)
		known.cured = known.cured || s.Receiver.State == ThreadStopped && s.Receiver.Errno != errServerID
		if s.Receiver.Errno == errLogGone {
			return Thread{}, known
		}
		return s.Receiver, known
	})
}

// sqlError names the transaction that came before the one that failed, of
// which the server does not tell the id.
func sqlError(v sight) []hit {
	hits := threadErrors(v, func(s SourceView) (Thread, errno) { return s.Applier, applierErrors(s.Applier.Errno) })
	for i, h := range hits {
		if applied := v.Nodes[h.node].Applied; applied != "" {
			hits[i].detail = strings.TrimSuffix(h.detail, ".") + "; it stands at " + applied
		}
	}
	return hits
}

// Stalled says why a replica does not take what its primary writes, and what to
// do; "" if it does, or is only connecting.
func Stalled(self NodeID, view EngineView) string {
	if len(view.Sources) == 0 {
		return "it has no source; " + nextApply + " points it at the primary"
	}
	for _, source := range view.Sources {
		if why := stopped(member{}, source); why != "" {
			return why + "; " + nextApply + " starts it"
		}
		for _, failed := range []struct {
			Thread
			errno
		}{{source.Receiver, receiverErrors(source.Receiver.Errno)}, {source.Applier, applierErrors(source.Applier.Errno)}} {
			if failed.Errno != 0 && failed.State != ThreadRunning {
				return fmt.Sprintf("%s (%d): %s; %s", failed.means, failed.Errno, strings.TrimSuffix(failed.Error, "."), cmp.Or(failed.next, reseedOf(self)))
			}
		}
	}
	return ""
}

// threadErrors returns the members of which the thread that is asked for does
// not run, and failed.
func threadErrors(v sight, of func(SourceView) (Thread, errno)) []hit {
	var hits []hit
	for _, m := range v.replicas() {
		for _, source := range m.Sources {
			thread, known := of(source)
			if thread.Errno == 0 || thread.State == ThreadRunning {
				continue
			}
			hits = append(hits, hit{
				node: m.id, stuck: !known.cured, next: cmp.Or(known.next, reseedOf(m.id)),
				detail: fmt.Sprintf("%s (%d): %s", known.means, thread.Errno, thread.Error),
			})
		}
	}
	return hits
}
