package dbreplication

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// Peers are the other machines' agents.
type Peers interface {
	// Record asks a voter what it has recorded.
	Record(ctx context.Context, replication string, peer replication.NodeID, at api.DBPeer) (replication.Record, error)
	// Applied asks a member whether it has the replication as a component.
	Applied(ctx context.Context, replication string, peer replication.NodeID, at api.DBPeer) (bool, error)
	// Copy opens the stream of a copy of a member's data. A stream that broke
	// off ends with another error than [io.EOF].
	Copy(ctx context.Context, replication string, peer replication.NodeID, at api.DBPeer) (io.ReadCloser, error)
}

// PeersOver returns the machines that are reached that way.
func PeersOver(dial Dial) Peers { return peers{dial} }

type peers struct{ dial Dial }

func (p peers) Record(ctx context.Context, name string, peer replication.NodeID, at api.DBPeer) (replication.Record, error) {
	return p.remote(name, peer, at).Record(ctx)
}

func (p peers) Applied(ctx context.Context, name string, peer replication.NodeID, at api.DBPeer) (bool, error) {
	return p.remote(name, peer, at).Applied(ctx)
}

func (p peers) Copy(ctx context.Context, name string, peer replication.NodeID, at api.DBPeer) (io.ReadCloser, error) {
	return p.remote(name, peer, at).Copy(ctx)
}

func (p peers) remote(name string, peer replication.NodeID, at api.DBPeer) *remote {
	return &remote{replication: name, id: peer, peer: at, dial: p.dial}
}

// ballotTimeout bounds the wait for one voter. A ballot with a silent voter
// still counts for [replication.BallotLife] less this time.
const ballotTimeout = time.Second

// ask asks the other voters, side by side, what they have recorded.
func (p *part) ask(ctx context.Context, voters []replication.NodeID) map[replication.NodeID]replication.Answer {
	ctx, cancel := context.WithTimeoutCause(ctx, ballotTimeout, fmt.Errorf("no answer in %s", ballotTimeout))
	defer cancel()
	known := p.enlisted().Peers
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := map[replication.NodeID]replication.Answer{}
	for _, voter := range voters {
		if voter == p.node.Self() {
			continue
		}
		all.Go(func() {
			answer := p.askOne(ctx, voter, known)
			mu.Lock()
			defer mu.Unlock()
			answers[voter] = answer
		})
	}
	all.Wait()
	return answers
}

// askOne asks a voter, if one who may has named it to this machine.
func (p *part) askOne(ctx context.Context, voter replication.NodeID, known map[string]api.DBPeer) replication.Answer {
	at, listed := known[string(voter)]
	if !listed {
		return replication.Answer{Reason: "it is not in this machine's list of those that take part"}
	}
	record, err := p.node.Peers.Record(ctx, p.name, voter, at)
	if err != nil {
		return replication.Answer{Reason: err.Error()}
	}
	return replication.Answer{Record: record}
}
