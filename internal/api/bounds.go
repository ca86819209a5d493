package api

import (
	"fmt"
	"math"
	"time"
)

// The bounds of specs stand here once: Validate holds to them, its errors tell
// them, and the provider's docs quote them.

// Bounds are the least and the most that a number may be.
type Bounds struct{ Low, High int64 }

// String returns "1 to 100".
func (b Bounds) String() string { return fmt.Sprintf("%d to %d", b.Low, b.High) }

// Hold reports whether n is within the bounds.
func (b Bounds) Hold(n int64) bool { return n >= b.Low && n <= b.High }

// DurationBounds are the least and the most that a duration may be.
type DurationBounds struct{ Low, High Duration }

// String returns "10ms to 1h".
func (b DurationBounds) String() string { return fmt.Sprintf("%s to %s", b.Low, b.High) }

// Hold reports whether d is within the bounds.
func (b DurationBounds) Hold(d Duration) bool { return d >= b.Low && d <= b.High }

func durations(low, high time.Duration) DurationBounds {
	return DurationBounds{Low: Duration(low), High: Duration(high)}
}

// PortBounds bound a TCP port. What listens on a machine leaves [DefaultPort],
// the agent's, alone.
func PortBounds() Bounds { return Bounds{1, math.MaxUint16} }

// AppPortBounds bound the port of an app, which runs without privileges.
func AppPortBounds() Bounds { return Bounds{1024, math.MaxUint16} }

// ConnectionBounds bound a number of connections; it keeps typing errors out.
func ConnectionBounds() Bounds { return Bounds{1, 1_000_000} }

// ServerConnectionBounds bound the requests that a server gets at one time: one
// at least of each half, see [Server.Shares].
func ServerConnectionBounds() Bounds { return Bounds{2, 1_000_000} }

// WeightBounds bound a server's weight, as SRV_UWGHT_RANGE of HAProxy does.
func WeightBounds() Bounds { return Bounds{1, 256} }

// StatusBounds bound an HTTP status.
func StatusBounds() Bounds { return Bounds{100, 599} }

// CheckRunBounds bound how many health checks in a row decide.
func CheckRunBounds() Bounds { return Bounds{1, 100} }

// ByteBounds bound the size of a body or a release, in bytes: up to 1 TiB.
func ByteBounds() Bounds { return Bounds{1, 1 << 40} }

// CPUBounds bound the CPU time of an app, in percent of one CPU: systemd counts no
// less than a hundredth, and few machines have more than a thousand CPUs.
func CPUBounds() Bounds { return Bounds{1, 100_000} }

// TaskBounds bound the processes and threads of an app, which starts with some.
func TaskBounds() Bounds { return Bounds{16, 1 << 16} }

// FileBounds bound the descriptors of an app's process. Linux gives none more than
// 2^20 unless it is configured to (fs.nr_open).
func FileBounds() Bounds { return Bounds{64, 1 << 20} }

// LogRateBounds bound how many lines a second a log may get, LogRetentionBounds how
// long they are kept, LogSizeBounds how much disk they may take: journald needs some
// files of 512 KiB at least (journald.conf(5)).
func LogRateBounds() Bounds { return Bounds{1, 1_000_000} }

// LogRetentionBounds are reported at [LogRateBounds].
func LogRetentionBounds() DurationBounds { return durations(time.Hour, 10*365*24*time.Hour) }

// LogSizeBounds are reported at [LogRateBounds].
func LogSizeBounds() Bounds { return Bounds{8 << 20, 1 << 40} }

// ServerIDBounds bound the id of a database server, which has 32 bits.
func ServerIDBounds() Bounds { return Bounds{1, math.MaxUint32} }

// TrafficTimeoutBounds bound a load balancer's timeouts: HAProxy counts
// milliseconds in 31 bits (configuration manual, section 2.5).
func TrafficTimeoutBounds() DurationBounds { return durations(time.Millisecond, 24*24*time.Hour) }

// CheckIntervalBounds bound the pause between a load balancer's health checks,
// CheckTimeoutBounds how long an answer may take.
func CheckIntervalBounds() DurationBounds { return durations(10*time.Millisecond, time.Hour) }

// CheckTimeoutBounds are reported at [CheckIntervalBounds].
func CheckTimeoutBounds() DurationBounds { return durations(time.Millisecond, time.Hour) }

// AppCheckBounds bound interval and timeout of an app's own health check.
func AppCheckBounds() DurationBounds { return durations(10*time.Millisecond, time.Minute) }

// AppLivenessBounds bound the pause between two looks at whether an app is alive.
func AppLivenessBounds() DurationBounds { return durations(time.Second, time.Hour) }

// AppStartBounds bound how long an app may take to start and to stop.
func AppStartBounds() DurationBounds { return durations(time.Second, time.Hour) }

// AppHoldBounds bound how long a release has to stay healthy before the traffic
// is switched to it.
func AppHoldBounds() DurationBounds { return durations(0, time.Hour) }

// DelayBounds bound how long a replica may hold changes back.
func DelayBounds() DurationBounds { return durations(0, 30*24*time.Hour) }

// LagBounds bound the times that a replication watches over.
func LagBounds() DurationBounds { return durations(0, 365*24*time.Hour) }

// OperationBounds bound how long an operation may take: a second, which is
// what the wire counts in, to a day.
func OperationBounds() DurationBounds { return durations(time.Second, 24*time.Hour) }

// MemberBounds bound the number of a replication's members. [WitnessBounds]
// are those of its witnesses, DBObjectBounds of its databases and of its users.
func MemberBounds() Bounds { return Bounds{1, maxDBMembers} }

// WitnessBounds leave room for the members among all machines that vote.
func WitnessBounds() Bounds { return Bounds{0, maxDBPeers - maxDBMembers} }

// DBObjectBounds are reported at [MemberBounds].
func DBObjectBounds() Bounds { return Bounds{0, maxDBObjects} }

// ListenBounds bound the number of a database server's listening addresses,
// ClientBounds that of its clients: each of the one is combined with each of
// the other in the packet filter.
func ListenBounds() Bounds { return Bounds{0, 16} }

// ClientBounds are reported at [ListenBounds].
func ClientBounds() Bounds { return Bounds{0, 256} }

// ConsentBounds bound the text of a consent's token, in bytes.
func ConsentBounds() Bounds { return Bounds{1, 200} }

// The rules for texts, as errors tell them and docs quote them.
const (
	// NameRule is that of [CheckName].
	NameRule = "lower-case letters, digits and inner dashes, beginning with a letter"
	// DBNameRule is that of the names of databases and their users.
	DBNameRule = "1 to 64 letters, digits, underscores and inner dashes"
	// ListenRule is that of an address to listen on.
	ListenRule = `an IP address of the machine, or "*" for all`
	// PathRule is that of the path of a health check.
	PathRule = `begin with "/", use letters, digits and "/ . _ ~ ! * + , = : @ % & ? -", and percent-encode the rest`
	// EnvironmentNameRule is that of the name of a variable.
	EnvironmentNameRule = "letters, digits and underscores, not beginning with a digit"
	// ProgramRule is that of the program in a command.
	ProgramRule = `letters, digits and ". _ / + @ : -"`
)
