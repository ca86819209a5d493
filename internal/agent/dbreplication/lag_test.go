package dbreplication

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// TestLagIsKnownBeforeAnybodyLooks: since when a replica lags too much does not
// begin with the first look.
func TestLagIsKnownBeforeAnybodyLooks(t *testing.T) {
	b := newBay(t)
	b.must(b.SetConfig(t.Context(), notes, config("web2")))
	b.records(first("web2"), first("web2"))
	b.db.with(func(d *bayDB) { d.lag = time.Hour })
	since := b.now.Now()
	b.part(notes).measure(t.Context())
	b.now.pass(time.Minute)
	view, err := b.part(notes).view(t.Context())
	if err != nil || view.Lag == nil || !view.Lag.AboveSince.Equal(since) {
		t.Errorf("the lag is %+v, %v", view.Lag, err)
	}
}

// On a replica's own machine, status says if it does not follow.
func TestReplicaSaysThatItDoesNotFollow(t *testing.T) {
	running, stopped := replication.Thread{State: replication.ThreadRunning}, replication.Thread{State: replication.ThreadStopped}
	following := []replication.SourceView{{Host: "10.0.0.2", Port: 3306, Receiver: running, Applier: running}}
	for name, test := range map[string]struct {
		own     string // the primary by the record
		sources []replication.SourceView
		locked  bool
		says    []string // nothing: all is well
	}{
		"follows":            {"web2", following, false, nil},
		"connects":           {"web2", []replication.SourceView{{Receiver: replication.Thread{State: replication.ThreadConnecting}, Applier: running}}, false, nil},
		"stopped by hand":    {"web2", []replication.SourceView{{Receiver: stopped, Applier: stopped}}, false, []string{"web1 does not follow", "somebody stopped it", "terraform apply"}},
		"applier failed":     {"web2", []replication.SourceView{{Receiver: running, Applier: replication.Thread{State: replication.ThreadStopped, Errno: 1062, Error: "Duplicate entry"}}}, false, []string{"1062", "Duplicate entry", "reseed"}},
		"primary is away":    {"web2", []replication.SourceView{{Receiver: replication.Thread{State: replication.ThreadConnecting, Errno: 2003, Error: "Can't connect"}, Applier: running}}, false, []string{"cannot be reached", "2003"}},
		"follows nobody":     {"web2", nil, false, []string{"no source", "terraform apply"}},
		"a primary":          {"web1", nil, false, nil},
		"under an operation": {"web2", nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBay(t)
			b.records(first(replication.NodeID(test.own)), first(replication.NodeID(test.own)))
			b.db.with(func(d *bayDB) { d.sources = test.sources })
			b.reconcile()
			if test.locked {
				b.must(b.LockOwn(b.Context(), notes, "op"))
			}
			b.part(notes).checkFollows(b.Context())
			b.says(conditionNotFollowing, test.says...)
			if test.says == nil {
				return
			}
			// Whoever looks sees what is, not what the keeper saw last.
			b.db.with(func(d *bayDB) { d.sources = following })
			b.says(conditionNotFollowing)
		})
	}
}

// A database that does not answer keeps nobody waiting who asks how the machine
// is, and what was wrong with it stays reported.
func TestWhatIsWrongWithAReplicaStaysReportedWhileItsDatabaseHangs(t *testing.T) {
	b := newBay(t)
	b.records(first("web2"), first("web2"))
	b.reconcile()
	b.part(notes).checkFollows(b.Context())
	b.says(conditionNotFollowing, "no source")
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	b.db.with(func(d *bayDB) { d.dead = true })
	for _, c := range b.Node.Conditions(ended) {
		if c.Type == conditionNotFollowing && strings.Contains(c.Message, "no source") {
			return
		}
	}
	t.Errorf("it is reported no more: %+v", b.Conditions())
}
