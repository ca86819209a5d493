package api

// AppServer is the spec of an app server: a release of the user's app under a
// unit and a user of its own, with nginx in front. Every field is given on the
// wire, apart from those that say otherwise; the defaults belong to the
// provider's schema, in [DefaultAppServer].
type AppServer struct {
	// Release is what runs.
	Release Release `json:"release"`
	// Command is the program and its arguments, empty for a site of static files
	// alone (see [AppServer.StaticSite]). The program is run in the release's
	// directory without a shell. A program without a slash is looked up in
	// the system's PATH; "./bin/app" is one of the release. In an argument,
	// $SOCKET and $PORT (also in braces) stand for what the app is given in
	// these variables, and $$ for a dollar sign; no other variable is replaced.
	Command []string `json:"command"`
	// AppPorts are the loopback TCP ports that the app listens on, one for each
	// slot, given to it in $PORT; none means the Unix socket given to it in $SOCKET.
	// With [StrategyRestart] one is enough.
	AppPorts []int `json:"app_ports"`
	// Address and Port are where nginx listens; "*" is every address.
	Address string `json:"address"`
	Port    int    `json:"port"`
	// TrustedProxies are the networks (CIDR) whose X-Forwarded-For names the client.
	TrustedProxies []string `json:"trusted_proxies"`
	// RequestLimits bound a request's size, RequestTimeouts how long nginx waits.
	RequestLimits   AppRequestLimits   `json:"request_limits"`
	RequestTimeouts AppRequestTimeouts `json:"request_timeouts"`
	// UnderscoresInHeaders lets request headers pass whose names have
	// underscores; those that an app could mistake for nginx's own never pass.
	UnderscoresInHeaders bool `json:"underscores_in_headers"`
	// Static are the directories whose files nginx serves, by URL prefix. What
	// is no file there is asked of the app, or not found if there is none.
	Static map[string]StaticDirectory `json:"static"`
	// ResponseHeaders are set on every answer, in place of the app's own. An
	// empty value removes the app's.
	ResponseHeaders map[string]string `json:"response_headers"`
	// Gzip compresses answers of text for clients that accept it.
	Gzip bool `json:"gzip"`
	// Environment is given to the app as it is; secrets belong into the
	// write's secrets. Neither may name what [ReservedEnvironment] lists.
	Environment map[string]string `json:"environment"`
	// SecretsVersion is the version of the secrets that the app is given in
	// its environment; 0 means that it has none.
	SecretsVersion int64 `json:"secrets_version"`
	// HealthCheck is what the app has to answer before it counts as started.
	HealthCheck AppHealthCheck `json:"health_check"`
	// Strategy is how a release takes the place of the one before it.
	Strategy Strategy `json:"strategy"`
	// DrainTimeout is how long requests and streams that the old release has in
	// hand may go on once the traffic is switched; then it is stopped.
	DrainTimeout Duration `json:"drain_timeout"`
	// StopTimeout is how long the app may take to end by itself when it is
	// stopped, at least 1 s; then it is killed.
	StopTimeout Duration `json:"stop_timeout"`
	// Liveness is what a running app has to answer; nil means that it is not asked.
	Liveness *AppLiveness `json:"liveness,omitempty"`
	// AgentCheckPort is where the agent answers the TrustedProxies with an
	// [AgentCheck]; 0 means nowhere.
	AgentCheckPort int `json:"agent_check_port"`
	// Limits are what the app may take of the machine.
	Limits AppLimits `json:"limits"`
	// Logs are what is kept of the logs of the app and of its nginx.
	Logs AppLogs `json:"logs"`
	// RestartTrigger is any text; another one is a release.
	RestartTrigger string `json:"restart_trigger"`
}

// Strategy is how a release takes the place of the one before it.
type Strategy string

// The strategies of an app server.
const (
	// StrategyBlueGreen starts the new release in the free slot, beside the old
	// one, and switches the traffic once it is healthy. No request is lost, and
	// the machine needs memory for two.
	StrategyBlueGreen Strategy = "blue_green"
	// StrategyRestart stops the old release and starts the new one in its slot:
	// nothing answers in between.
	StrategyRestart Strategy = "restart"
)

// Strategies lists the strategies, the default first.
func Strategies() []Strategy { return []Strategy{StrategyBlueGreen, StrategyRestart} }

// Release is an artifact: a tar file compressed with gzip or zstd, or a static
// program, known by its checksum.
type Release struct {
	// SHA256 is the artifact's SHA-256 in lower-case hexadecimal.
	SHA256 string `json:"sha256"`
	// MaxBytes bounds the size of the unpacked release.
	MaxBytes int64 `json:"max_bytes"`
	// Signature is the content of a .minisig file, empty for none: the artifact
	// is unpacked only if one of PublicKeys made it. It is left out where it is
	// not wanted, and so are the keys.
	Signature string `json:"signature,omitempty"`
	// PublicKeys are minisign public keys, one or, while one is replaced, two.
	PublicKeys []string `json:"public_keys,omitempty"`
}

// AppHealthCheck is a GET request that the app itself has to answer with 200.
type AppHealthCheck struct {
	Path string `json:"path"`
	// Interval is the pause between two tries, Timeout the bound of one.
	Interval Duration `json:"interval"`
	Timeout  Duration `json:"timeout"`
	// Successes is how many tries in a row make the app healthy, 1 to 100.
	Successes int `json:"successes"`
	// StartTimeout is how long a started app may take to become healthy.
	StartTimeout Duration `json:"start_timeout"`
	// MinHealthyTime is how long a new release has to stay healthy before the
	// traffic is switched to it; 0 switches at once.
	MinHealthyTime Duration `json:"min_healthy_time"`
}

// SlotState is where a slot stands.
type SlotState string

// The states of a slot.
const (
	// SlotEmpty has no release. The next one starts here.
	SlotEmpty SlotState = "empty"
	// SlotLive has the release that the traffic goes to.
	SlotLive SlotState = "live"
	// SlotDown is live, and its app does not run.
	SlotDown SlotState = "down"
	// SlotStarting has the next release, whose change is not committed yet.
	SlotStarting SlotState = "starting"
	// SlotDraining has the release before the live one, which ends.
	SlotDraining SlotState = "draining"
	// SlotLeft has an app that runs though no traffic goes to it, and no change is
	// under way. It is drift, which an apply repairs.
	SlotLeft SlotState = "left"
)

// SlotStatus is what moves by itself in a slot.
type SlotStatus struct {
	State SlotState `json:"state"`
	// Release is the checksum of what the slot holds, empty if that is nothing.
	Release string `json:"release"`
	// Detail explains the state to a person.
	Detail string `json:"detail"`
}

// AppServerStatus is what moves by itself in an app server.
type AppServerStatus struct {
	// Release is the checksum of the release that runs, empty if none does.
	Release string `json:"release"`
	// SignedBy is the identifier of the key that has signed the release that
	// was applied, TrustedComment what the signature says of it; both are empty
	// if none is asked for.
	SignedBy       string `json:"signed_by,omitempty"`
	TrustedComment string `json:"trusted_comment,omitempty"`
	// Slot is the live one, "blue" or "green"; Slots tells of both.
	Slot  string                `json:"slot"`
	Slots map[string]SlotStatus `json:"slots"`
	// Healthy tells whether the app answers its health check now, Health how.
	Healthy bool   `json:"healthy"`
	Health  string `json:"health"`
	// PID is the app's main process, 0 if there is none.
	PID int `json:"pid"`
	// Restarts counts the restarts by the machine since the unit was started.
	Restarts int `json:"restarts"`
	// LivenessRestarts counts the restarts by the agent since the boot, because the
	// app did not answer its liveness check.
	LivenessRestarts int `json:"liveness_restarts"`
	// Log holds the app's last lines since its last start, oldest first.
	Log []string `json:"log"`
}
