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

	maxCommand         = 64 << 10
	maxEnvironmentName = 256
	maxHealthPath      = 1024
	maxRelease         = 1 << 40
	maxBody            = 1 << 40
	maxSuccesses       = 100
	minAppPort         = 1024
	maxPort            = 65535
)

// HealthPrefix begins the paths that nginx answers by itself in front of an
// app; requests for them never reach the app.
const HealthPrefix = "/_foobar/"

// AppHealthPath is where nginx answers for the app's health: what the app's
// own health check answers, 404 while the app server drains, 502 if the app
// does not run.
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
		"CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID",
		"MAINPID", "NOTIFY_SOCKET", "PORT", "RUNTIME_DIRECTORY", "SOCKET", "SYSTEMD_EXEC_PID", "WATCHDOG_PID", "WATCHDOG_USEC",
	}
}

// Claims returns the ports that the app server listens on: nginx's, and the
// app's own if it has one.
func (s AppServer) Claims() []Claim {
	claims := []Claim{{Network: "tcp", Address: s.Address, Port: s.Port, Pointer: "/port"}}
	if s.AppPort != 0 {
		claims = append(claims, Claim{Network: "tcp", Address: "127.0.0.1", Port: s.AppPort, Pointer: "/app_port"})
	}
	return claims
}

// Arguments returns the command's arguments, without the program, as the app
// gets them: $SOCKET (or ${SOCKET}) replaced by socket, $PORT (or ${PORT}) by
// the app's port, and $$ by a dollar sign. All else stays as it is.
func (s AppServer) Arguments(socket string) []string {
	arguments := make([]string, 0, len(s.Command))
	for _, arg := range s.Command[1:] {
		arguments = append(arguments, referencePattern.ReplaceAllStringFunc(arg, func(reference string) string {
			switch reference {
			case "$SOCKET", "${SOCKET}":
				return socket
			case "$PORT", "${PORT}":
				return strconv.Itoa(s.AppPort)
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
	within(&v, "/max_body_bytes", s.MaxBodyBytes, 1, maxBody, "bytes")
	validateEnvironment(&v, "/environment", s.Environment)
	if s.SecretsVersion < 0 {
		v.Add("/secrets_version", "%d is negative; begin with 1 and raise it with each change of the secrets, or use 0 for none", s.SecretsVersion)
	}
	s.HealthCheck.validate(&v, "/health_check")
	between(&v, "/stop_timeout", s.StopTimeout, time.Second, time.Hour)
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
	within(v, "/release/max_bytes", s.Release.MaxBytes, 1, maxRelease, "bytes")
}

func (s AppServer) validateCommand(v *Violations) {
	if len(s.Command) == 0 {
		v.Add("/command", `is empty; name the program and its arguments, such as ["./bin/app", "--verbose"]`)
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
	if size > maxCommand {
		v.Add("/command", "has %d bytes; at most %d are allowed", size, maxCommand)
	}
}

// validateProgram admits what systemd takes for the path or name of a program
// and for nothing else: its own prefixes and quotes stay out.
func validateProgram(v *Violations, at Pointer, program string) {
	switch {
	case program == "":
		v.Add(at, `is empty; name a program of the system, such as "python3", or one of the release, such as "./bin/app"`)
	case !programPattern.MatchString(program) || strings.HasSuffix(program, "/") || path.Base(program) == ".":
		v.Add(at, `%q cannot name a program; allowed are letters, digits and ". _ / + @ : -". No shell runs: each argument is an element of its own`, program)
	case path.IsAbs(program) && path.Clean(program) != program:
		v.Add(at, "%q is not in its shortest form; write %q", program, path.Clean(program))
	case slices.Contains(strings.Split(program, "/"), ".."):
		v.Add(at, "%q leaves its directory; name a program within the release, or give its whole path", program)
	}
}

// validateReferences admits $SOCKET or $PORT, whichever the app is told, and
// refuses what a shell would replace, since no shell runs.
func (s AppServer) validateReferences(v *Violations, at Pointer, arg string) {
	for _, reference := range referencePattern.FindAllString(arg, -1) {
		switch reference {
		case "$$":
		case "$SOCKET", "${SOCKET}":
			if s.AppPort != 0 {
				v.Add(at, "%s is set only for an app on a Unix socket; app_port is %d, so write $PORT", reference, s.AppPort)
			}
		case "$PORT", "${PORT}":
			if s.AppPort == 0 {
				v.Add(at, "%s is set only for an app with an app_port; set that, or write $SOCKET", reference)
			}
		default:
			v.Add(at, "%s is not replaced: no shell runs, and only $SOCKET or $PORT may stand in a command. Let the app read its environment, or write $$ for a dollar sign", reference)
		}
	}
}

func (s AppServer) validateListeners(v *Violations) {
	switch {
	case s.AppPort == 0:
	case s.AppPort < minAppPort || s.AppPort > maxPort:
		v.Add("/app_port", "%d is not a port that an app may listen on: %d to %d (lower ones need privileges), or 0 for a Unix socket", s.AppPort, minAppPort, maxPort)
	case s.AppPort == DefaultPort:
		v.Add("/app_port", "%d is the agent's own port; give the app another one, or 0 for a Unix socket", s.AppPort)
	case s.AppPort == s.Port:
		v.Add("/app_port", "%d is nginx's port too; give the app another one, or 0 for a Unix socket", s.AppPort)
	}
	if s.Address != "*" {
		address, err := netip.ParseAddr(s.Address)
		if err != nil || address.Zone() != "" || address.Is4In6() || address.IsMulticast() {
			v.Add("/address", `%q is not an address to listen on: an IP address of the machine, or "*" for all`, s.Address)
		}
	}
	switch {
	case s.Port < 1 || s.Port > maxPort:
		v.Add("/port", "%d is not a port: 1 to %d", s.Port, maxPort)
	case s.Port == DefaultPort:
		v.Add("/port", "%d is the agent's own port", s.Port)
	}
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
		v.Add(at, "has %d bytes; at most %d are allowed: put large values into the release", size, MaxEnvironment)
	}
}

// environmentProblem says what is wrong with a variable, without its value.
func environmentProblem(name, value string) string {
	switch {
	case !environmentNamePattern.MatchString(name) || len(name) > maxEnvironmentName:
		return fmt.Sprintf("%q is not the name of a variable: letters, digits and underscores, not beginning with a digit, at most %d", name, maxEnvironmentName)
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
	switch {
	case len(h.Path) > maxHealthPath:
		v.Add(at.At("path"), "has %d characters; at most %d are allowed", len(h.Path), maxHealthPath)
	case !healthPathPattern.MatchString(h.Path):
		v.Add(at.At("path"), `%q is not a path: begin with "/", use letters, digits and "/ . _ ~ ! * + , = : @ %% & ? -", and percent-encode the rest`, h.Path)
	case strings.HasPrefix(h.Path, HealthPrefix):
		v.Add(at.At("path"), "%q is answered by nginx and never reaches the app; choose a path outside of %s", h.Path, HealthPrefix)
	}
	between(v, at.At("interval"), h.Interval, 10*time.Millisecond, time.Minute)
	between(v, at.At("timeout"), h.Timeout, 10*time.Millisecond, time.Minute)
	within(v, at.At("successes"), int64(h.Successes), 1, maxSuccesses, "")
	before := len(*v)
	between(v, at.At("start_timeout"), h.StartTimeout, time.Second, time.Hour)
	needed := Duration(time.Duration(h.Successes-1) * time.Duration(h.Interval))
	if len(*v) == before && h.Successes <= maxSuccesses && needed >= h.StartTimeout {
		v.Add(at.At("start_timeout"), "%s is too short for %d successes at an interval of %s; allow more than %s", h.StartTimeout, h.Successes, h.Interval, needed)
	}
}

func within(v *Violations, at Pointer, value, low, high int64, unit string) {
	if value < low || value > high {
		v.Add(at, "%s", strings.TrimSpace(fmt.Sprintf("%d is out of bounds; allowed are %d to %d %s", value, low, high, unit)))
	}
}

func between(v *Violations, at Pointer, value Duration, low, high time.Duration) {
	if time.Duration(value) < low || time.Duration(value) > high {
		v.Add(at, "%s is out of bounds; allowed are %s to %s", value, Duration(low), Duration(high))
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
