package replication

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// NodeID is a machine's name. A machine has at most one part in a replication.
type NodeID string

// Topology is what a replication is to be. It holds no secrets.
type Topology struct {
	Name   string       `json:"name"`
	Engine api.DBEngine `json:"engine"`
	// Primary is the member that is declared to take the writes.
	Primary NodeID            `json:"primary"`
	Members map[NodeID]Member `json:"members"`
	// Witnesses are machines without a database that count in a majority.
	Witnesses []NodeID `json:"witnesses,omitempty"`
	// Catalog is what the databases and users are to be.
	Catalog Catalog `json:"catalog,omitzero"`
	// MaxLag is what a replica may lag beyond its delay; 0 sets no limit.
	// LagHold is how long it must be exceeded before that is reported.
	MaxLag  api.Duration `json:"max_lag,omitempty"`
	LagHold api.Duration `json:"lag_hold,omitempty"`
	// MinRetention is the shortest time for which binary logs have to be kept:
	// more than the longest outage plus the time that a seed takes. 0 sets none.
	MinRetention api.Duration `json:"min_retention,omitempty"`
}

// Member is where a member's database is found by the others.
type Member struct {
	// Host is the name in the member's certificate, which its peers resolve; Port its TCP port.
	Host string `json:"host"`
	Port int    `json:"port"`
	// Delay is how long a replica holds changes back, in whole seconds.
	Delay api.Duration `json:"delay,omitempty"`
}

// Voters returns members and witnesses, without doubles, in the order of their names.
func (t Topology) Voters() []NodeID {
	voters := slices.Concat(slices.Collect(maps.Keys(t.Members)), t.Witnesses)
	slices.Sort(voters)
	return slices.Compact(voters)
}

// MemberIDs returns the members in the order of their names.
func (t Topology) MemberIDs() []NodeID { return slices.Sorted(maps.Keys(t.Members)) }

// Hash identifies a topology: two of the same hash ask for the same.
func (t Topology) Hash() string {
	raw, err := json.Marshal(t)
	if err != nil {
		panic("replication: a topology is plain data: " + err.Error()) // no value of its types can fail
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// Snapshot is all that was seen of a replication at one time, beside what it is
// to be. It is plain data, and JSON of it is a test fixture.
type Snapshot struct {
	Taken   time.Time `json:"taken"`
	Desired Topology  `json:"desired"`
	// Nodes are the members that are desired, and those that were and may still
	// count themselves in.
	Nodes map[NodeID]NodeView `json:"nodes"`
	// Witnesses are the voters without a database.
	Witnesses map[NodeID]WitnessView `json:"witnesses,omitempty"`
}

// NodeView is what one member showed. Of an unobservable one nothing else
// counts but Seeding, which its agent knows without the database.
type NodeView struct {
	// Taken is when it was seen. A primary is looked at after its replicas:
	// what they have and it has not is then errant for certain.
	Taken        time.Time     `json:"taken,omitzero"`
	Unobservable *Unobservable `json:"unobservable,omitempty"`
	// Record is what the member's agent has durably recorded.
	Record Record `json:"record,omitzero"`
	// PasswordOld tells that it was given a source with another password than
	// the replication's is now, which shows when it connects anew.
	PasswordOld bool `json:"password_old,omitempty"`
	// Seeding tells of a seed that was begun and has not ended.
	Seeding *SeedMark `json:"seeding,omitempty"`
	// Membership is which machines take part as the machine was given, nil if it
	// does not say.
	Membership *api.DBMembership `json:"membership,omitempty"`
	EngineView
}

// WitnessView is what one witness showed.
type WitnessView struct {
	Unobservable *Unobservable `json:"unobservable,omitempty"`
	Record       Record        `json:"record,omitzero"`
	// Membership is that of a [NodeView].
	Membership *api.DBMembership `json:"membership,omitempty"`
}

// Unobservable tells that a machine, or the database on it, did not answer: it
// is neither well nor gone.
type Unobservable struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	// Unconfigured is set if the machine does answer, but has no configuration of the
	// replication, or takes no part in it as far as it knows.
	Unconfigured bool `json:"unconfigured,omitempty"`
}

// SeedMark is the durable mark of a seed under way. It is set before the first
// byte of the old data goes, so it also proves that they were allowed to go, as
// long as the membership lasts in which it was set.
type SeedMark struct {
	Donor   NodeID    `json:"donor"`
	Started time.Time `json:"started"`
	// Placed tells that the new data stand in their place and only wait for
	// the server's start.
	Placed bool `json:"placed,omitempty"`
	// Bytes is how much of the copy has arrived since the agent that receives
	// it began to, 0 if it does not receive now.
	Bytes int64 `json:"bytes,omitempty"`
}

// EngineView is what a database server tells of itself. The positions are in
// the engine's own text; only the algebra of the engine reads them.
type EngineView struct {
	Version  string `json:"version,omitempty"`
	ServerID uint32 `json:"server_id,omitempty"`
	// Writable tells that an ordinary account's write would be accepted.
	Writable bool `json:"writable,omitempty"`
	// Origin identifies the data set: it is written once, when a replication is
	// formed, and copied with the data. Empty means that the data never took part.
	Origin string `json:"origin,omitempty"`
	// Empty tells that the server holds no database of a user.
	Empty bool `json:"empty,omitempty"`
	// History is every write that the data hold, Applied where they stand, and
	// Oldest where the oldest binary log begins that is still there.
	History string `json:"history,omitempty"`
	Applied string `json:"applied,omitempty"`
	Oldest  string `json:"oldest,omitempty"`
	// Sources are the configured connections to a primary: none or one is right.
	Sources []SourceView `json:"sources,omitempty"`
	// Settings are the engine's own variables that replication depends on.
	Settings map[string]string `json:"settings,omitempty"`
	// Privileged are accounts, other than the agent's, that may write in spite of read-only.
	Privileged []string `json:"privileged,omitempty"`
	// CatalogDiffers says in words what of the desired catalog, and of the
	// replication's own accounts, is not so. Only the primary's counts.
	CatalogDiffers []string `json:"catalog_differs,omitempty"`
	// Lag is nil where it is not known, which is not 0.
	Lag *Lag `json:"lag,omitempty"`
}

// Lag is how far a replica's data are behind the primary's clock.
type Lag struct {
	// Applied is from the primary's heartbeat to its being applied here, 0 at
	// least. Of a clock that is far behind the primary's, which Skewed tells,
	// it says nothing.
	Applied api.Duration `json:"applied"`
	Skewed  bool         `json:"skewed,omitempty"`
	// AboveSince is when it came to exceed the limit, zero if it does not.
	AboveSince time.Time `json:"above_since,omitzero"`
}

// SourceView is one configured connection to a primary.
type SourceView struct {
	// Channel is the connection's name, "" for the usual one.
	Channel  string `json:"channel,omitempty"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	ServerID uint32 `json:"server_id,omitempty"`
	// Receiver fetches, Applier executes.
	Receiver Thread `json:"receiver"`
	Applier  Thread `json:"applier"`
	// AutoPosition tells that it goes by transaction ids, not by file and offset.
	AutoPosition bool `json:"auto_position,omitempty"`
	// TLS tells that the connection is encrypted and the source's certificate verified.
	TLS   bool         `json:"tls,omitempty"`
	Delay api.Duration `json:"delay,omitempty"`
}

// Thread is one half of a replica's work.
type Thread struct {
	State ThreadState `json:"state"`
	// Errno and Error are the last error, 0 and empty for none.
	Errno int    `json:"errno,omitempty"`
	Error string `json:"error,omitempty"`
}

// ThreadState says what a thread does.
type ThreadState string

// The states of threads.
const (
	ThreadRunning    ThreadState = "running"
	ThreadConnecting ThreadState = "connecting"
	ThreadStopped    ThreadState = "stopped"
)

// Epoch returns the highest epoch that anybody recorded.
func (s Snapshot) Epoch() uint64 {
	var epoch uint64
	for _, record := range s.records() {
		epoch = max(epoch, record.Epoch)
	}
	return epoch
}

// Holder returns the primary of the highest epoch, "" if there is none, and
// whether all who recorded that epoch name the same.
func (s Snapshot) Holder() (holder NodeID, agreed bool) {
	epoch := s.Epoch()
	for _, record := range s.records() {
		if record.Epoch != epoch || record.Primary == "" {
			continue
		}
		if holder != "" && holder != record.Primary {
			return "", false
		}
		holder = record.Primary
	}
	return holder, true
}

// records returns what the agents that answered have recorded; an agent answers
// without its database too.
func (s Snapshot) records() map[NodeID]Record {
	records := map[NodeID]Record{}
	for id, node := range s.Nodes {
		if node.Unobservable == nil || node.Seeding != nil || node.Record.Epoch > 0 {
			records[id] = node.Record
		}
	}
	for id, witness := range s.Witnesses {
		if witness.Unobservable == nil || witness.Record.Epoch > 0 {
			records[id] = witness.Record
		}
	}
	return records
}

// seeding tells whether a member's data are being replaced: a seed has set its
// mark, and others have recorded that the member is counted in. The mark of a
// membership that has ended since says nothing of the data that are there now.
func (s Snapshot) seeding(id NodeID) bool {
	if s.Nodes[id].Seeding == nil {
		return false
	}
	epoch := s.Epoch()
	for other, record := range s.records() {
		if other != id && record.Epoch == epoch && slices.Contains(record.Members, id) {
			return true
		}
	}
	return false
}

// Observer shows one machine's part of a replication.
type Observer interface {
	// Observe looks once. An error means that the machine did not answer; a
	// database that does not is a view with Unobservable.
	Observe(ctx context.Context) (NodeView, error)
}

// ObserveTimeout bounds one look at one machine.
const ObserveTimeout = 5 * time.Second

// Gather takes a snapshot. All machines are looked at side by side and
// whoever is, or should be, primary a second time after the others, see
// [NodeView.Taken]. A machine that was unobservable in previous, which may be
// nil, keeps the time since when it is.
func Gather(ctx context.Context, desired Topology, observers map[NodeID]Observer, previous *Snapshot, now func() time.Time) Snapshot {
	views := look(ctx, slices.Sorted(maps.Keys(observers)), observers, func(_, ended time.Time) time.Time { return ended }, now)
	var primaries []NodeID
	for id, view := range views {
		if id == desired.Primary || view.Writable || view.Record.Primary == id {
			primaries = append(primaries, id)
		}
	}
	maps.Copy(views, look(ctx, primaries, observers, func(began, _ time.Time) time.Time { return began }, now))
	s := Snapshot{Taken: now(), Desired: desired, Nodes: map[NodeID]NodeView{}, Witnesses: map[NodeID]WitnessView{}}
	for id, view := range views {
		view.Unobservable = keepSince(previous, id, view.Unobservable)
		if _, member := desired.Members[id]; !member && slices.Contains(desired.Witnesses, id) {
			s.Witnesses[id] = WitnessView{Unobservable: view.Unobservable, Record: view.Record, Membership: view.Membership}
			continue
		}
		s.Nodes[id] = view
	}
	return s
}

// look looks at machines side by side. Taken is by the clock of whoever looks,
// as those of the machines may differ: when a look began, or when it ended.
func look(ctx context.Context, ids []NodeID, observers map[NodeID]Observer, taken func(began, ended time.Time) time.Time, now func() time.Time) map[NodeID]NodeView {
	var mutex sync.Mutex
	var all sync.WaitGroup
	views := map[NodeID]NodeView{}
	for _, id := range ids {
		all.Go(func() {
			ctx, cancel := context.WithTimeoutCause(ctx, ObserveTimeout, errors.New("no answer in "+ObserveTimeout.String()))
			defer cancel()
			began := now()
			view, err := observers[id].Observe(ctx)
			if err != nil {
				view = NodeView{Unobservable: &Unobservable{Since: now(), Reason: err.Error()}}
			}
			view.Taken = taken(began, now())
			mutex.Lock()
			defer mutex.Unlock()
			views[id] = view
		})
	}
	all.Wait()
	return views
}

// keepSince returns what with the time since when it has been so: for as long as the
// machine has been silent, or has answered without the replication's configuration.
func keepSince(previous *Snapshot, id NodeID, what *Unobservable) *Unobservable {
	if what == nil || previous == nil {
		return what
	}
	if before := previous.unobservable(id); before != nil && before.Unconfigured == what.Unconfigured {
		return &Unobservable{Since: before.Since, Reason: what.Reason, Unconfigured: what.Unconfigured}
	}
	return what
}

// unobservable returns why a machine could not be observed, nil if it could, or
// was not looked at.
func (s Snapshot) unobservable(id NodeID) *Unobservable {
	if witness, ok := s.Witnesses[id]; ok {
		return witness.Unobservable
	}
	return s.Nodes[id].Unobservable
}
