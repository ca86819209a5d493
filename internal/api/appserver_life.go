package api

import (
	"slices"
	"strings"
	"time"
)

// AppLiveness is a GET request that the app has to answer with 200 as long as it runs.
// The agent restarts one that does not.
type AppLiveness struct {
	Path string `json:"path"`
	// Interval is the pause between two tries, Timeout the bound of one.
	Interval Duration `json:"interval"`
	Timeout  Duration `json:"timeout"`
	// Failures is how many tries in a row have to fail.
	Failures int `json:"failures"`
}

// DefaultAppLiveness returns the liveness check of an app server that changes nothing
// about it: a hung app is restarted after half a minute.
func DefaultAppLiveness() AppLiveness {
	return AppLiveness{Path: "/", Interval: Duration(10 * time.Second), Timeout: Duration(5 * time.Second), Failures: 3}
}

func (l AppLiveness) validate(v *Violations, at Pointer) {
	if validatePath(v, at.At("path"), l.Path) && strings.HasPrefix(l.Path, HealthPrefix) {
		v.Add(at.At("path"), "nginx answers %q, the app never gets it; choose a path outside of %s", l.Path, HealthPrefix)
	}
	between(v, at.At("interval"), l.Interval, AppLivenessBounds())
	between(v, at.At("timeout"), l.Timeout, AppCheckBounds())
	within(v, at.At("failures"), int64(l.Failures), CheckRunBounds(), "")
}

// validateAgentCheck checks the port where load balancers ask for the app's state.
func (s AppServer) validateAgentCheck(v *Violations) {
	const at = Pointer("/agent_check_port")
	switch port := s.AgentCheckPort; {
	case port == 0: // none
	case port == s.Port:
		v.Add(at, "%d is nginx's port too; choose another one", port)
	case slices.Contains(s.AppPorts, port):
		v.Add(at, "%d is the app's port too; choose another one", port)
	case len(s.TrustedProxies) == 0:
		v.Add(at, "nobody could ask on %d: only load balancers in trusted_proxies are answered; list them there", port)
	default:
		validateListenPort(v, at, port)
	}
}
