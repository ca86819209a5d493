package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func validAppServer() api.AppServer {
	s := api.DefaultAppServer()
	s.Release.SHA256 = strings.Repeat("0f", 32)
	s.Command = []string{"./bin/shop"}
	s.Port = 80
	return s
}

// alive gives an app server a liveness check.
func alive(s *api.AppServer) *api.AppLiveness {
	s.Liveness = new(api.DefaultAppLiveness())
	return s.Liveness
}

func TestValidAppServers(t *testing.T) {
	for name, change := range map[string]func(*api.AppServer){
		"the defaults":                func(*api.AppServer) {},
		"a program of the system":     func(s *api.AppServer) { s.Command = []string{"python3.13", "-m", "uvicorn", "--uds", "$SOCKET"} },
		"an absolute program":         func(s *api.AppServer) { s.Command = []string{"/usr/bin/node", "index.js"} },
		"a port":                      func(s *api.AppServer) { s.AppPorts, s.Command = []int{8000, 8001}, []string{"x", "127.0.0.1:${PORT}"} },
		"dollar signs that are none":  func(s *api.AppServer) { s.Command = []string{"x", "$$HOME", "5$", "$1", "^a$", "$$$$"} },
		"an address":                  func(s *api.AppServer) { s.Address = "10.0.0.1" },
		"an IPv6 address":             func(s *api.AppServer) { s.Address = "2001:db8::1" },
		"networks":                    func(s *api.AppServer) { s.TrustedProxies = []string{"10.0.0.0/24", "::1/128"} },
		"an environment of many":      func(s *api.AppServer) { s.Environment = map[string]string{"A": "", "_b1": "x\n\"$%", "C": "é"} },
		"a liveness check":            func(s *api.AppServer) { alive(s) },
		"an agent check":              func(s *api.AppServer) { s.AgentCheckPort, s.TrustedProxies = 8081, []string{"10.0.0.10/32"} },
		"a part of the memory":        func(s *api.AppServer) { s.Limits.Memory = "100%" },
		"a size of memory":            func(s *api.AppServer) { s.Limits.Memory = "512M" },
		"a limit of CPU time":         func(s *api.AppServer) { s.Limits.CPU = 150 },
		"a health check with a query": func(s *api.AppServer) { s.HealthCheck.Path = "/health/live?full=1&x=%20" },
	} {
		s := validAppServer()
		change(&s)
		if v := s.Validate(); len(v) > 0 {
			t.Errorf("%s: %v", name, v)
		}
	}
}

func TestInvalidAppServersAreReportedWhereAndWhy(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	type change = func(*api.AppServer)
	for _, c := range []struct {
		change  change
		pointer api.Pointer
		detail  string
	}{
		{func(s *api.AppServer) { s.Release.SHA256 = "" }, "/release/sha256", "64 hexadecimal digits"},
		{func(s *api.AppServer) { s.Release.SHA256 = strings.Repeat("0F", 32) }, "/release/sha256", "lower case"},
		{func(s *api.AppServer) { s.Release.PublicKeys = []string{"RW"} }, "/release/signature", "no signature"},
		{func(s *api.AppServer) { s.Release.Signature = "untrusted comment:" }, "/release/public_keys", "no public key"},
		{func(s *api.AppServer) { s.Release.Signature, s.Release.PublicKeys = "s", make([]string, 3) }, "/release/public_keys", "3 public keys"},
		{func(s *api.AppServer) {
			s.Release.Signature, s.Release.PublicKeys = strings.Repeat("s", 16<<10+1), []string{"RW"}
		}, "/release/signature", "at most 16384"},
		{func(s *api.AppServer) { s.Release.MaxBytes = 0 }, "/release/max_bytes", "0 is out of bounds"},
		{func(s *api.AppServer) { s.Command = nil }, "/command", "no command is given"},
		{func(s *api.AppServer) { s.Command = []string{""} }, "/command/0", "is empty"},
		{func(s *api.AppServer) { s.Command = []string{"./run me"} }, "/command/0", "No shell runs"},
		{func(s *api.AppServer) { s.Command = []string{"-x"} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"@x"} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"./%i"} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"./$SOCKET"} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"./"} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"."} }, "/command/0", "cannot name a program"},
		{func(s *api.AppServer) { s.Command = []string{"../other/app"} }, "/command/0", "leaves its directory"},
		{func(s *api.AppServer) { s.Command = []string{"/usr/../bin/sh"} }, "/command/0", `write "/bin/sh"`},
		{func(s *api.AppServer) { s.Command = []string{"x", "a\nb"} }, "/command/1", "control character"},
		{func(s *api.AppServer) { s.Command = []string{"x", "\xff"} }, "/command/1", "not UTF-8"},
		{func(s *api.AppServer) { s.Command = []string{"x", "$HOME/x"} }, "/command/1", "$HOME is not replaced"},
		{func(s *api.AppServer) { s.Command = []string{"x", "${HOME}"} }, "/command/1", "${HOME} is not replaced"},
		{func(s *api.AppServer) { s.Command = []string{"x", "${"} }, "/command/1", "${ is not replaced"},
		{func(s *api.AppServer) { s.Command = []string{"x", "${SOCKET"} }, "/command/1", "${SOCKET is not replaced"},
		{func(s *api.AppServer) { s.Command = []string{"x", "$SOCKETS"} }, "/command/1", "$SOCKETS is not replaced"},
		{func(s *api.AppServer) { s.Command = []string{"x", "$PORT"} }, "/command/1", "write $SOCKET"},
		{func(s *api.AppServer) { s.AppPorts, s.Command = []int{8000, 8001}, []string{"x", "$SOCKET"} }, "/command/1", "write $PORT"},
		{func(s *api.AppServer) { s.Command = []string{"x", long} }, "/command", "at most 65536"},
		{func(s *api.AppServer) { s.Limits.Memory = "" }, "/limits/memory", "not a limit of memory"},
		{func(s *api.AppServer) { s.Limits.Memory = "0%" }, "/limits/memory", `from "1%" to "100%"`},
		{func(s *api.AppServer) { s.Limits.Memory = "101%" }, "/limits/memory", "not a part of the machine's memory"},
		{func(s *api.AppServer) { s.Limits.Memory = "1M" }, "/limits/memory", `"1M" is too little for an app to start; allowed is`},
		{func(s *api.AppServer) { s.Limits.Memory = "512" }, "/limits/memory", `"512" is a number of bytes, as it has no unit, and too little for an app to start; allowed is`},
		{func(s *api.AppServer) { s.Limits.Memory = "infinity" }, "/limits/memory", "not a limit"},
		{func(s *api.AppServer) { s.Limits.CPU = -1 }, "/limits/cpu", "1 to 100000 percent of one CPU"},
		{func(s *api.AppServer) { s.Limits.Tasks = 0 }, "/limits/tasks", "16 to 65536"},
		{func(s *api.AppServer) { s.Limits.OpenFiles = 1 << 21 }, "/limits/open_files", "64 to 1048576"},
		{func(s *api.AppServer) { alive(s).Path = "" }, "/liveness/path", "is not a path"},
		{func(s *api.AppServer) { alive(s).Path = api.AppHealthPath }, "/liveness/path", "the app never gets it"},
		{func(s *api.AppServer) { alive(s).Interval = 1 }, "/liveness/interval", "1s to 1h"},
		{func(s *api.AppServer) { alive(s).Timeout = 0 }, "/liveness/timeout", "10ms to 1m"},
		{func(s *api.AppServer) { alive(s).Failures = 0 }, "/liveness/failures", "1 to 100"},
		{func(s *api.AppServer) { s.AgentCheckPort = 8081 }, "/agent_check_port", "trusted_proxies"},
		{func(s *api.AppServer) { s.AgentCheckPort = 80 }, "/agent_check_port", "nginx's port too"},
		{func(s *api.AppServer) { s.AgentCheckPort, s.AppPorts = 8001, []int{8000, 8001} }, "/agent_check_port", "the app's port too"},
		{func(s *api.AppServer) { s.AgentCheckPort, s.TrustedProxies = api.DefaultPort, []string{"10.0.0.10/32"} }, "/agent_check_port", "the agent's own port"},
		{func(s *api.AppServer) { s.AgentCheckPort, s.TrustedProxies = -1, []string{"10.0.0.10/32"} }, "/agent_check_port", "1 to 65535"},
		{func(s *api.AppServer) { s.Logs.Rate = 0 }, "/logs/rate", "1 to 1000000 lines a second"},
		{func(s *api.AppServer) { s.Logs.Retention = 0 }, "/logs/retention", "1h to 87600h"},
		{func(s *api.AppServer) { s.Logs.MaxBytes = 1 }, "/logs/max_bytes", "8388608 to 1099511627776 bytes"},
		{func(s *api.AppServer) { s.AppPorts = []int{443, 8001} }, "/app_ports/0", "1024 to 65535"},
		{func(s *api.AppServer) { s.AppPorts = []int{8000, 70000} }, "/app_ports/1", "1024 to 65535"},
		{func(s *api.AppServer) { s.AppPorts, s.Port = []int{8080, 8081}, 8080 }, "/app_ports/0", "nginx's port too"},
		{func(s *api.AppServer) { s.AppPorts = []int{8000, api.DefaultPort} }, "/app_ports/1", "the agent's own port"},
		{func(s *api.AppServer) { s.AppPorts = []int{8000, 8000} }, "/app_ports/1", "listed twice"},
		{func(s *api.AppServer) { s.AppPorts = []int{8000, 8001, 8002} }, "/app_ports", "3 ports are given"},
		{func(s *api.AppServer) { s.AppPorts = []int{8000} }, "/app_ports", `strategy = "restart"`},
		{func(s *api.AppServer) { s.Strategy = "canary" }, "/strategy", "blue_green"},
		{func(s *api.AppServer) { s.DrainTimeout = 0 }, "/drain_timeout", "1s to 1h"},
		{func(s *api.AppServer) { s.HealthCheck.MinHealthyTime = -1 }, "/health_check/min_healthy_time", "0s to 1h"},
		{func(s *api.AppServer) { s.RestartTrigger = strings.Repeat("x", api.MaxTrigger+1) }, "/restart_trigger", "at most 1024"},
		{func(s *api.AppServer) { s.RestartTrigger = "\xff" }, "/restart_trigger", "not UTF-8"},
		{func(s *api.AppServer) { s.Address = "localhost" }, "/address", "not an address to listen on"},
		{func(s *api.AppServer) { s.Address = "fe80::1%eth0" }, "/address", "not an address to listen on"},
		{func(s *api.AppServer) { s.Address = "224.0.0.1" }, "/address", "not an address to listen on"},
		{func(s *api.AppServer) { s.Port = 0 }, "/port", "1 to 65535"},
		{func(s *api.AppServer) { s.Port = 70000 }, "/port", "1 to 65535"},
		{func(s *api.AppServer) { s.Port = api.DefaultPort }, "/port", "the agent's own port"},
		{func(s *api.AppServer) { s.Port = 22 }, "/port", "the port of SSH"},
		{func(s *api.AppServer) { s.TrustedProxies = []string{"10.0.0.1"} }, "/trusted_proxies/0", "10.0.0.1/32"},
		{func(s *api.AppServer) { s.TrustedProxies = []string{"10.0.0.0/24", "10.0.0.1/24"} }, "/trusted_proxies/1", `write "10.0.0.0/24"`},
		{func(s *api.AppServer) { s.TrustedProxies = []string{"::/0", "::/0"} }, "/trusted_proxies/1", "listed twice"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"SOCKET": ""} }, "/environment/SOCKET", "remove SOCKET"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"FOOBAR_X": ""} }, "/environment/FOOBAR_X", "choose another name"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"A/B": ""} }, "/environment/A~1B", "is not the name of a variable"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"": ""} }, "/environment/", "is not the name of a variable"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"A": "\x00"} }, "/environment/A", "NUL"},
		{func(s *api.AppServer) { s.Environment = map[string]string{"A": long} }, "/environment/A", "at most 65536"},
		{func(s *api.AppServer) { s.SecretsVersion = -1 }, "/secrets_version", "-1 is not a version"},
		{func(s *api.AppServer) { s.HealthCheck.Path = "health" }, "/health_check/path", `begin with "/"`},
		{func(s *api.AppServer) { s.HealthCheck.Path = "/a;return 200" }, "/health_check/path", "percent-encode"},
		{func(s *api.AppServer) { s.HealthCheck.Path = "/$uri" }, "/health_check/path", "percent-encode"},
		{func(s *api.AppServer) { s.HealthCheck.Path = api.AppHealthPath }, "/health_check/path", "the app never gets it"},
		{func(s *api.AppServer) { s.HealthCheck.Path = "/" + long }, "/health_check/path", "at most 1024"},
		{func(s *api.AppServer) { s.HealthCheck.Interval = 0 }, "/health_check/interval", "10ms to 1m"},
		{func(s *api.AppServer) { s.HealthCheck.Timeout = api.Duration(time.Hour) }, "/health_check/timeout", "10ms to 1m"},
		{func(s *api.AppServer) { s.HealthCheck.Successes = 101 }, "/health_check/successes", "1 to 100"},
		{func(s *api.AppServer) { s.HealthCheck.StartTimeout = 0 }, "/health_check/start_timeout", "1s to 1h"},
		{
			func(s *api.AppServer) {
				s.HealthCheck.Successes, s.HealthCheck.Interval = 61, api.Duration(time.Second)
			},
			"/health_check/start_timeout", "too short for 61 successes",
		},
		{func(s *api.AppServer) { s.StopTimeout = 0 }, "/stop_timeout", "1s to 1h"},
	} {
		s := validAppServer()
		c.change(&s)
		v := s.Validate()
		if len(v) != 1 || v[0].Pointer != c.pointer || !strings.Contains(v[0].Detail, c.detail) {
			t.Errorf("want %q at %s, got %.300s", c.detail, c.pointer, fmt.Sprint(v))
		}
	}
}

func TestSecretsAreJudgedWithoutBeingShown(t *testing.T) {
	s := validAppServer()
	if v := s.ValidateSecrets(nil); len(v) > 0 {
		t.Errorf("no secrets: %v", v)
	}
	given := map[string]api.Secret{"TOKEN": "hunter2"}
	if v := s.ValidateSecrets(given); len(v) != 1 || v[0].Pointer != "/secrets_version" {
		t.Errorf("secrets without a version: %v", v)
	}
	s.SecretsVersion = 1
	if v := s.ValidateSecrets(given); len(v) > 0 {
		t.Errorf("good secrets: %v", v)
	}
	s.Environment = map[string]string{"TOKEN": "x"}
	v := s.ValidateSecrets(map[string]api.Secret{"TOKEN": "hunter2", "PORT": "hunter2", "N": "hunter2\x00"})
	if pointers := fmt.Sprint(v[0].Pointer, v[1].Pointer, v[2].Pointer); len(v) != 3 || pointers != "/secrets/N/secrets/PORT/secrets/TOKEN" {
		t.Errorf("bad secrets: %v", v)
	}
	if strings.Contains(fmt.Sprint(v), "hunter2") {
		t.Errorf("a violation shows a secret: %v", v)
	}
}

func TestArguments(t *testing.T) {
	s := validAppServer()
	s.AppPorts = []int{8000, 8001}
	s.Command = []string{"x", "$SOCKET", "unix:${SOCKET}", "$PORT$PORT", "$$PORT", "$$$PORT", "5$", "$1", "a$$", "", "$$$$"}
	want := []string{"/s", "unix:/s", "80008000", "$PORT", "$8000", "5$", "$1", "a$", "", "$$"}
	if got := s.Arguments("/s", 8000); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAppServerClaims(t *testing.T) {
	s := validAppServer()
	s.Address, s.AppPorts, s.AgentCheckPort = "10.0.0.1", []int{8000, 8001}, 8081
	if got := fmt.Sprint(s.Claims()); got != "[tcp 10.0.0.1:80 tcp 127.0.0.1:8000 tcp 127.0.0.1:8001 tcp 10.0.0.1:8081]" {
		t.Errorf("claims: %s", got)
	}
}

// Whatever is checked valid comes out of Arguments without a trace of a reference.
func FuzzArguments(f *testing.F) {
	for _, seed := range []string{"$SOCKET", "${SOCKET}x", "$$", "$$$SOCKET", "${", "$", "$SOCKETS", "${SOCKET", "a${}b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		s := validAppServer()
		s.Command = []string{"x", argument}
		if len(s.Validate()) > 0 {
			return
		}
		plain := strings.ReplaceAll(argument, "$$", "")
		references := strings.Count(plain, "$SOCKET") + strings.Count(plain, "${SOCKET}")
		if got := s.Arguments("\x01", 8000); len(got) != 1 || strings.Count(got[0], "\x01") != references {
			t.Errorf("%q became %q", argument, got)
		}
	})
}
