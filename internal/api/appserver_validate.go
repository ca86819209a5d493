package api

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of an app server's values. Linux passes a program at most 128 KiB in
// one argument or variable (MAX_ARG_STRLEN) and, with the default stack, 2 MiB
// in all (ARG_MAX, execve(2)); these stay well below.
const (
	// MaxEnvironmentValue bounds one value of the environment, in bytes.
	MaxEnvironmentValue = 64 << 10
	// MaxEnvironment bounds environment and secrets, names and values, each in bytes.
	MaxEnvironment = 512 << 10

	// MaxEnvironmentName bounds the name of a variable, MaxHealthPath the path
	// of a health check, in characters.
	MaxEnvironmentName = 256
	MaxHealthPath      = 1024
	// MaxCommand bounds a command, program and arguments, in bytes.
	MaxCommand = 64 << 10
	// MaxTrigger bounds the restart trigger, in bytes.
	MaxTrigger = 1 << 10

	// MaxSignature bounds the text of a signature, in bytes: the trusted comment
	// that minisign makes has at most 8192.
	MaxSignature = 16 << 10
	// MaxPublicKeys bounds the keys of a signature: one, and the one that
	// replaces it.
	MaxPublicKeys = 2
)

// HealthPrefix begins the paths that nginx answers by itself in front of an
// app; requests for them never reach the app.
const HealthPrefix = "/_foobar/"

// AppHealthPath is where nginx tells load balancers whether they may send
// requests: 200 as long as nginx runs, 404 while the app server drains. It does
// not ask the app: under load that is slow on all machines, and would be marked
// down on all of them.
const AppHealthPath = HealthPrefix + "health"

var (
	sha256Pattern          = regexp.MustCompile(`^[0-9a-f]{64}$`)
	programPattern         = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./+@:-]*$`)
	environmentNamePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	healthPathPattern      = regexp.MustCompile(`^/[A-Za-z0-9/._~!*+,=:@%&?-]*$`)
	referencePattern       = regexp.MustCompile(`\$(\$|[A-Za-z_][A-Za-z0-9_]*|\{[^}]*\}?)`)
)

// ReservedEnvironment lists the variables that foobar or systemd set for an
// app; neither its environment nor its secrets may name them. The same holds
// for every name that begins with "FOOBAR_".
func ReservedEnvironment() []string {
	return []string{
		"CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "LOG_NAMESPACE",
		"MAINPID", "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "NOTIFY_SOCKET", "PORT", "RUNTIME_DIRECTORY", "SOCKET", "STATE_DIRECTORY", "SYSTEMD_EXEC_PID", "WATCHDOG_PID", "WATCHDOG_USEC",
	}
}

// Claims returns the ports that the app server listens on: nginx's, and the
// app's own if it has such.
func (s AppServer) Claims() []Claim {
	claims := []Claim{{Network: "tcp", Address: s.Address, Port: s.Port, Pointer: "/port"}}
	for i, port := range s.AppPorts {
		claims = append(claims, Claim{Network: "tcp", Address: "127.0.0.1", Port: port, Pointer: Pointer("/app_ports").At(i)})
	}
	if s.AgentCheckPort != 0 {
		claims = append(claims, Claim{Network: "tcp", Address: s.Address, Port: s.AgentCheckPort, Pointer: "/agent_check_port"})
	}
	return claims
}

// Arguments returns the command's arguments, without the program, as the app
// gets them: $SOCKET (or ${SOCKET}) replaced by socket, $PORT (or ${PORT}) by
// port, and $$ by a dollar sign. All else stays as it is.
func (s AppServer) Arguments(socket string, port int) []string {
	arguments := make([]string, 0, len(s.Command))
	for _, arg := range s.Command[1:] {
		arguments = append(arguments, referencePattern.ReplaceAllStringFunc(arg, func(reference string) string {
			switch reference {
			case "$SOCKET", "${SOCKET}":
				return socket
			case "$PORT", "${PORT}":
				return strconv.Itoa(port)
			}
			return "$"
		}))
	}
	return arguments
}

// Validate returns what is wrong with the app server on any machine, in the
// order of its fields. What only a machine can tell, such as whether the
// program exists, is left to its agent.
func (s AppServer) Validate() Violations {
	var v Violations
	s.validateRelease(&v)
	s.validateCommand(&v)
	s.validateListeners(&v)
	validateTrustedProxies(&v, s.TrustedProxies)
	s.RequestLimits.validate(&v, "/request_limits")
	s.RequestTimeouts.validate(&v, "/request_timeouts")
	s.validateStatic(&v)
	validateResponseHeaders(&v, s.ResponseHeaders)
	validateEnvironment(&v, "/environment", s.Environment)
	if s.SecretsVersion != 0 { // 0 is none
		validateVersion(&v, "/secrets_version", s.SecretsVersion)
	}
	s.HealthCheck.validate(&v, "/health_check")
	oneOf(&v, "/strategy", s.Strategy, Strategies())
	between(&v, "/drain_timeout", s.DrainTimeout, AppStartBounds())
	between(&v, "/stop_timeout", s.StopTimeout, AppStartBounds())
	if s.Liveness != nil {
		s.Liveness.validate(&v, "/liveness")
	}
	s.validateAgentCheck(&v)
	s.Limits.validate(&v, "/limits")
	s.Logs.validate(&v, "/logs")
	s.validateTrigger(&v)
	return v
}

// ValidateSecrets returns what is wrong with the secrets that are sent along
// with the app server, at "/secrets/NAME". No detail holds a value.
func (s AppServer) ValidateSecrets(secrets map[string]Secret) Violations {
	var v Violations
	if s.SecretsVersion == 0 && len(secrets) > 0 {
		v.Add("/secrets_version", "secrets are given but their version is 0; set it to 1 and raise it with each change of the secrets")
	}
	values := make(map[string]string, len(secrets))
	for name, secret := range secrets {
		values[name] = secret.Reveal()
		if _, twice := s.Environment[name]; twice {
			v.Add(Pointer("/secrets").At(name), "%s is in the environment too; keep it in one of the two", name)
		}
	}
	validateEnvironment(&v, "/secrets", values)
	slices.SortStableFunc(v, func(a, b Violation) int { return strings.Compare(string(a.Pointer), string(b.Pointer)) })
	return v
}

func (s AppServer) validateRelease(v *Violations) {
	if !sha256Pattern.MatchString(s.Release.SHA256) {
		v.Add("/release/sha256", "%q is not a SHA-256 checksum: 64 hexadecimal digits in lower case, as sha256sum prints them", s.Release.SHA256)
	}
	bytesWithin(v, "/release/max_bytes", s.Release.MaxBytes, ByteBounds())
	s.Release.validateSignature(v)
}

// validateSignature checks that a signature and its keys come together. What is
// in them is checked by who checks it.
func (r Release) validateSignature(v *Violations) {
	switch keys := len(r.PublicKeys); {
	case r.Signature == "" && keys > 0:
		v.Add("/release/signature", "public_keys are given and no signature; give the content of the artifact's .minisig file, or remove public_keys")
	case r.Signature != "" && keys == 0:
		v.Add("/release/public_keys", "a signature is given and no public key that may have made it; give one, or two while one is replaced")
	case keys > MaxPublicKeys:
		v.Add("/release/public_keys", "%d public keys are given; give one, or two while one is replaced", keys)
	case len(r.Signature) > MaxSignature:
		v.Add("/release/signature", "is %d bytes long; at most %d are allowed", len(r.Signature), MaxSignature)
	}
}

func (s AppServer) validateCommand(v *Violations) {
	if s.StaticSite() {
		s.validateStaticSite(v)
		return
	}
	validateProgram(v, "/command/0", s.Command[0])
	size := 0
	for i, arg := range s.Command {
		size += len(arg) + 1
		at := Pointer("/command").At(i)
		if !utf8.ValidString(arg) || strings.ContainsFunc(arg, isControl) {
			v.Add(at, "%q holds a control character or is not UTF-8; pass such values in the environment", arg)
			continue
		}
		if i > 0 {
			s.validateReferences(v, at, arg)
		}
	}
	if size > MaxCommand {
		v.Add("/command", "the command has %d bytes; at most %d are allowed", size, MaxCommand)
	}
}

// validateProgram admits what systemd takes for the path or name of a program
// and for nothing else: its own prefixes and quotes stay out.
func validateProgram(v *Violations, at Pointer, program string) {
	switch {
	case program == "":
		v.Add(at, `the program is empty; name one of the system, such as "python3", or one of the release, such as "./bin/app"`)
	case !programPattern.MatchString(program) || strings.HasSuffix(program, "/") || path.Base(program) == ".":
		v.Add(at, "%q cannot name a program; allowed are %s. No shell runs: write each argument as an element of the list", program, ProgramRule)
	case path.IsAbs(program) && path.Clean(program) != program:
		v.Add(at, "%q is not in its shortest form; write %q", program, path.Clean(program))
	case slices.Contains(strings.Split(program, "/"), ".."):
		v.Add(at, "%q leaves its directory; name a program within the release, or give its whole path", program)
	}
}

// validateReferences admits $SOCKET or $PORT, whichever the app is given, and
// refuses what a shell would replace, since no shell runs.
func (s AppServer) validateReferences(v *Violations, at Pointer, arg string) {
	for _, reference := range referencePattern.FindAllString(arg, -1) {
		switch reference {
		case "$$":
		case "$SOCKET", "${SOCKET}":
			if len(s.AppPorts) > 0 {
				v.Add(at, "%s is set only for an app on a Unix socket; app_ports are given, so write $PORT", reference)
			}
		case "$PORT", "${PORT}":
			if len(s.AppPorts) == 0 {
				v.Add(at, "%s is set only for an app with app_ports; set them, or write $SOCKET", reference)
			}
		default:
			v.Add(at, "%s is not replaced: no shell runs, and only $SOCKET or $PORT can be used in a command. Let the app read its environment, or write $$ for a dollar sign", reference)
		}
	}
}

// Slots is how many releases of one app server can run side by side: how many
// ports an app needs that does not listen on a Unix socket.
const Slots = 2

func (s AppServer) validateAppPorts(v *Violations) {
	for i, port := range s.AppPorts {
		at := Pointer("/app_ports").At(i)
		switch {
		case !AppPortBounds().Hold(int64(port)):
			v.Add(at, "%d is not a port that an app may listen on: %s (lower ones need privileges). Without any, the app listens on a Unix socket", port, AppPortBounds())
		case port == DefaultPort:
			v.Add(at, "%d is the agent's own port; choose another one", port)
		case port == s.Port:
			v.Add(at, "%d is nginx's port too; give app_ports or port another number", port)
		case slices.Contains(s.AppPorts[:i], port):
			v.Add(at, "%d is listed twice; the old and the new release run side by side, each on a port of its own", port)
		}
	}
	switch n := len(s.AppPorts); {
	case n > Slots:
		v.Add("/app_ports", "%d ports are given; an app needs %d, one for the old and one for the new release", n, Slots)
	case n == 1 && s.Strategy == StrategyBlueGreen:
		v.Add("/app_ports", `one port is given; the old and the new release run side by side, so give a second one, or set strategy = "restart"`)
	}
}

func (s AppServer) validateTrigger(v *Violations) {
	switch {
	case len(s.RestartTrigger) > MaxTrigger:
		v.Add("/restart_trigger", "the text has %d bytes; at most %d are allowed: give a checksum of it", len(s.RestartTrigger), MaxTrigger)
	case !utf8.ValidString(s.RestartTrigger):
		v.Add("/restart_trigger", "the text is not UTF-8; encode it, as base64 does")
	}
}

func (s AppServer) validateListeners(v *Violations) {
	s.validateAppPorts(v)
	if s.Address != "*" {
		address, err := netip.ParseAddr(s.Address)
		if err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast() {
			v.Add("/address", "%q is not an address to listen on: %s", s.Address, ListenRule)
		}
	}
	validateListenPort(v, "/port", s.Port)
}

func validateTrustedProxies(v *Violations, networks []string) {
	seen := map[netip.Prefix]bool{}
	for i, network := range networks {
		at := Pointer("/trusted_proxies").At(i)
		prefix, err := netip.ParsePrefix(network)
		switch {
		case err != nil || prefix.Addr().Is4In6():
			v.Add(at, `%q is not a network: write it as "10.0.0.0/24", and a single address as "10.0.0.1/32"`, network)
		case prefix.Masked() != prefix:
			v.Add(at, "%q has bits set beyond its length; write %q", network, prefix.Masked())
		case seen[prefix]:
			v.Add(at, "%s is listed twice", prefix)
		}
		seen[prefix] = true
	}
}

func validateEnvironment(v *Violations, at Pointer, environment map[string]string) {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		value := environment[name]
		size += len(name) + len(value) + 2
		if problem := environmentProblem(name, value); problem != "" {
			v.Add(at.At(name), "%s", problem)
		}
	}
	if size > MaxEnvironment {
		v.Add(at, "the variables have %d bytes; at most %d are allowed: put large values into the release", size, MaxEnvironment)
	}
}

// environmentProblem says what is wrong with a variable, without its value.
func environmentProblem(name, value string) string {
	switch {
	case !environmentNamePattern.MatchString(name) || len(name) > MaxEnvironmentName:
		return say("%q is not the name of a variable: %s; at most %d characters", name, EnvironmentNameRule, MaxEnvironmentName)
	case name == "PORT":
		return "PORT is set by foobar, to the one of app_ports that the app is to listen on; set app_ports and remove PORT"
	case name == "SOCKET":
		return "SOCKET is set by foobar, to the path at which the app has to make its Unix socket; remove SOCKET, or set app_ports for an app that listens on a port"
	case slices.Contains(ReservedEnvironment(), name) || strings.HasPrefix(name, "FOOBAR_"):
		return fmt.Sprintf("%s is set by foobar or systemd; choose another name", name)
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return "the value holds a NUL or is not UTF-8; encode it, as base64 does"
	case len(value) > MaxEnvironmentValue:
		return fmt.Sprintf("the value has %d bytes; at most %d are allowed: put it into the release", len(value), MaxEnvironmentValue)
	}
	return ""
}

func (h AppHealthCheck) validate(v *Violations, at Pointer) {
	if validatePath(v, at.At("path"), h.Path) && strings.HasPrefix(h.Path, HealthPrefix) {
		v.Add(at.At("path"), "nginx answers %q, the app never gets it; choose a path outside of %s", h.Path, HealthPrefix)
	}
	between(v, at.At("interval"), h.Interval, AppCheckBounds())
	between(v, at.At("timeout"), h.Timeout, AppCheckBounds())
	within(v, at.At("successes"), int64(h.Successes), CheckRunBounds(), "")
	between(v, at.At("min_healthy_time"), h.MinHealthyTime, AppHoldBounds())
	before := len(*v)
	between(v, at.At("start_timeout"), h.StartTimeout, AppStartBounds())
	needed := Duration(time.Duration(h.Successes-1) * time.Duration(h.Interval))
	if len(*v) == before && CheckRunBounds().Hold(int64(h.Successes)) && needed >= h.StartTimeout {
		v.Add(at.At("start_timeout"), "%s is too short for %d successes at an interval of %s; allow more than %s", h.StartTimeout, h.Successes, h.Interval, needed)
	}
}

// validatePath reports whether text is the path of a health check.
func validatePath(v *Violations, at Pointer, text string) bool {
	switch {
	case len(text) > MaxHealthPath:
		v.Add(at, "the path has %d characters; at most %d are allowed", len(text), MaxHealthPath)
	case !healthPathPattern.MatchString(text):
		v.Add(at, "%q is not a path: %s", text, PathRule)
	default:
		return true
	}
	return false
}

// validatePort refuses what is no port; validateListenPort also those that the machine
// itself needs, on which nothing else can listen.
func validatePort(v *Violations, at Pointer, port int) {
	if !PortBounds().Hold(int64(port)) {
		v.Add(at, "%d is not a port: %s", port, PortBounds())
	}
}

func validateListenPort(v *Violations, at Pointer, port int) {
	validatePort(v, at, port)
	switch port {
	case DefaultPort:
		v.Add(at, "%d is the agent's own port; choose another one", port)
	case SSHPort:
		v.Add(at, "%d is the port of SSH, which the machine's own sshd holds, now or later; choose another one", port)
	}
}

// CheckVersion reports why n cannot be the version of a secret, nil if it can.
func CheckVersion(n int64) error {
	if n < 1 {
		return fmt.Errorf("%d is not a version: begin with 1, and raise it with each change of the secret", n)
	}
	return nil
}

func validateVersion(v *Violations, at Pointer, n int64) {
	if err := CheckVersion(n); err != nil {
		v.Add(at, "%s", err)
	}
}

func within(v *Violations, at Pointer, value int64, bounds Bounds, unit string) {
	if !bounds.Hold(value) {
		v.Add(at, "%s", strings.TrimSpace(fmt.Sprintf("%d is out of bounds; allowed are %s %s", value, bounds, unit)))
	}
}

// bytesWithin is within for a number of bytes, which is hard to read as it is.
func bytesWithin(v *Violations, at Pointer, value int64, bounds Bounds) {
	within(v, at, value, bounds, fmt.Sprintf("bytes (%s … %s); write 512 * 1024 * 1024 for 512M", FormatSize(bounds.Low), FormatSize(bounds.High)))
}

func between(v *Violations, at Pointer, value Duration, bounds DurationBounds) {
	if !bounds.Hold(value) {
		v.Add(at, "%s is out of bounds; allowed are %s", value, bounds)
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
