package api

// AgentCheck is what an app server answers on its agent check port: one of the
// constants below and a line feed, whatever arrives, then the connection closes.
// HAProxy asks every 200 ms and reads no further than the first line.
//
// The words were tried with HAProxy 3.0.11 (configuration manual, section 5.2,
// "agent-check"). HAProxy keeps two states of a server apart: whether it works
// ("up", "down") and whether it may get requests ("ready", "drain"). What the
// agent check has set, only the agent check takes back, so an answer names both
// states wherever it can. Health checks keep their say: "up" does not bring
// back a server that fails them. No answer, or any other one, changes nothing.
type AgentCheck string

// The answers on an agent check port.
const (
	// AgentCheckUp says that the app works and takes requests. It ends both
	// [AgentCheckDown] and [AgentCheckDrain].
	AgentCheckUp AgentCheck = "up ready"
	// AgentCheckDrain says that the app finishes what it has and gets nothing
	// new. It ends AgentCheckDown: the app works, it only leaves.
	AgentCheckDrain AgentCheck = "up drain"
	// AgentCheckDown says that the app does not work. Requests in flight stay.
	AgentCheckDown AgentCheck = "down"
)

// AgentChecks lists the answers.
func AgentChecks() []AgentCheck {
	return []AgentCheck{AgentCheckUp, AgentCheckDrain, AgentCheckDown}
}

// Line returns what goes over the wire.
func (c AgentCheck) Line() string { return string(c) + "\n" }
