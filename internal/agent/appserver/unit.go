package appserver

import (
	"path"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// appUnitText writes the unit of the app in a slot.
func appUnitText(l layout, slot string, s api.AppServer) *converge.Text {
	t := newText()
	t.Own("[Unit]",
		"Description=foobar app "+l.name+" ("+slot+")",
		"After=network.target",
		// A machine has nobody who would reset a failed unit: it is tried for ever.
		"StartLimitIntervalSec=0",
		"",
		"[Service]",
		"Type=exec",
		"User="+l.user(),
		"Group="+l.user(),
		"WorkingDirectory="+l.slotRelease(slot),
		// The directory is the gate to the socket: open to the app and to its
		// group, which nginx is in.
		"RuntimeDirectory="+l.appRuntime(slot),
		"RuntimeDirectoryMode=0750",
		"UMask=0007")
	if own := port(s, slot); own != 0 {
		t.From("/app_ports", "Environment=PORT=%d", own)
		// With SO_REUSEPORT it would get some of the requests of the slot that serves.
		if beside := port(s, other(slot)); beside != own {
			t.From("/app_ports", "SocketBindDeny=tcp:%d", beside)
		}
	} else {
		t.From("/app_ports", "Environment=SOCKET=%s", l.appSocket(slot))
	}
	t.Own("EnvironmentFile=" + l.environment(slot))
	if s.SecretsVersion > 0 {
		t.From("/secrets_version", "EnvironmentFile=%s", l.secrets(slot))
	}
	execStart(t, l, slot, s)
	t.From("/stop_timeout", "TimeoutStopSec=%s", s.StopTimeout)
	t.Own("KillMode=mixed")
	t.Own(restartPolicy()...)
	writeLimits(t, s.Limits)
	t.Own(dataDirectory(l)...)
	t.Own(logs.Namespaced(l.appUnit(slot))...)
	t.Own(hardening()...)
	t.Own(privateMemory()...)
	t.Own("PrivateUsers=true", "CapabilityBoundingSet=")
	// gunicorn gives its socket to the account that it runs as. Without a capability
	// an app cannot give a file to another one.
	t.Own("SystemCallFilter=@chown")
	t.Own("", "[Install]", "WantedBy=multi-user.target")
	return t
}

// execStart writes the command, one argument a line. The ":" before the
// program keeps systemd from replacing variables, so that a "$" is a "$".
func execStart(t *converge.Text, l layout, slot string, s api.AppServer) {
	words := append([]string{":" + programPath(l, slot, s.Command[0])}, s.Arguments(l.appSocket(slot), port(s, slot))...)
	for i, word := range words {
		line := "    " + quoteArgument(word)
		if i == 0 {
			line = "ExecStart=" + quoteArgument(word)
		}
		if i < len(words)-1 {
			line += ` \`
		}
		t.From(api.Pointer("/command").At(i), "%s", line)
	}
}

// programPath returns a program as systemd takes it: a bare name is looked up
// in the system's PATH, a path that is not absolute is one of the slot's release.
func programPath(l layout, slot, program string) string {
	if !ofRelease(program) {
		return program
	}
	return path.Join(l.slotRelease(slot), program)
}

func ofRelease(program string) bool { return !path.IsAbs(program) && strings.Contains(program, "/") }

// quoteArgument writes an argument so that systemd reads it back as it is:
// quoted as systemd.syntax(7) says, with "%" doubled against specifiers.
func quoteArgument(argument string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(argument) + `"`
}

// restartPolicy brings a process back for ever, soon at first, then every 30 s.
func restartPolicy() []string {
	return []string{"Restart=always", "RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=30"}
}

// hardening is what any app and nginx can live with. MemoryDenyWriteExecute
// is not in it, because a JIT has to work; a refused system call is an error
// for the program, not its end.
func hardening() []string {
	return []string{
		"NoNewPrivileges=true",
		"ProtectSystem=strict",
		"ProtectHome=true",
		"ProtectProc=invisible",
		"ProtectClock=true",
		"ProtectHostname=true",
		"ProtectKernelTunables=true",
		"ProtectKernelModules=true",
		"ProtectKernelLogs=true",
		"ProtectControlGroups=true",
		"PrivateTmp=true",
		"PrivateDevices=true",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
		"RestrictNamespaces=true",
		"RestrictRealtime=true",
		"RestrictSUIDSGID=true",
		"LockPersonality=true",
		"SystemCallArchitectures=native",
		"SystemCallFilter=@system-service",
		"SystemCallFilter=~@privileged @resources",
		"SystemCallErrorNumber=EPERM",
	}
}

// queryPattern matches those lines of nginx's error log, by their time, that
// hold a question mark. It has no backslash, which systemd would take away.
const queryPattern = "^[0-9]{4}/[0-9][0-9]/[0-9][0-9] [0-9:]{8} .*[?]"

// stopTimeout begins the line of nginx's unit that counts for a running nginx as
// soon as systemd has read it.
const stopTimeout = "TimeoutStopSec="

// nginxGrace is what nginx gets to leave after it has cut its last connection.
const nginxGrace = 5 * time.Second

// nginxUnitText writes the unit of the app server's own nginx. It never has
// root: systemd gives it the right to low ports and nothing else.
func nginxUnitText(l layout, s api.AppServer) *converge.Text {
	t := newText()
	t.Own("[Unit]",
		"Description=nginx in front of foobar app "+l.name,
		// Stopped in the reverse order: nginx finishes its requests while the app still answers.
		"After=network.target "+l.appUnit(slotBlue)+" "+l.appUnit(slotGreen),
		"StartLimitIntervalSec=0",
		"",
		"[Service]",
		"Type=exec",
		"User="+nginxUser,
		"Group="+nginxUser,
		"SupplementaryGroups="+l.user(),
		"RuntimeDirectory="+l.nginxRuntime(),
		"RuntimeDirectoryMode=0750",
		// A drain outlives a restart, though not a boot.
		"RuntimeDirectoryPreserve=restart",
		// nginx leaves its sockets behind when it is killed, and then cannot bind.
		"ExecStartPre=/bin/rm -f "+strings.Join([]string{l.adminSocket(), l.shimSocket(slotBlue), l.shimSocket(slotGreen)}, " "),
		"ExecStart="+nginxProgram+" -e stderr -c "+l.nginxConfig(),
		"ExecReload=/bin/kill -HUP $MAINPID",
		"KillMode=mixed",
		"KillSignal=SIGQUIT")
	t.From("/drain_timeout", "%s%s", stopTimeout, s.DrainTimeout+api.Duration(nginxGrace))
	t.Own(restartPolicy()...)
	t.Own("LimitNOFILE=16384")
	t.Own(logs.Namespaced(l.nginxUnit())...)
	t.Own(
		// nginx writes whole request lines to its error log, which no setting of its
		// own shortens. journald drops those of its lines that hold a query string;
		// the access log has a line of each such request without it.
		"LogFilterPatterns=~"+queryPattern,
		"AmbientCapabilities=CAP_NET_BIND_SERVICE",
		"CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
		"MemoryDenyWriteExecute=true")
	t.Own(hardening()...)
	t.Own("", "[Install]", "WantedBy=multi-user.target")
	return t
}
