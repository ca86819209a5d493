package loadbalancer

import (
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// renderUnit returns a unit shaped like Debian's own for HAProxy, with sockets
// of its own and with what HAProxy has no use for taken away.
//
// The master stays root, as the worker's listeners need it at each reload; the
// worker becomes haproxy in an empty directory. MemoryDenyWriteExecute is not
// set, because HAProxy compiles regular expressions with PCRE2's JIT.
func renderUnit(name string, spec api.LoadBalancer) *converge.Text {
	p := pathsOf(name)
	t := &converge.Text{}
	t.Own("# Written by foobar-agent. An edit shows as drift and goes with the next apply.",
		"[Unit]",
		"Description=foobar load balancer "+name+" (HAProxy)",
		"Documentation=https://docs.haproxy.org/3.0/configuration.html",
		"After=network-online.target",
		"Wants=network-online.target",
		"StartLimitIntervalSec=0",
		"",
		"[Service]",
		"Type=notify",
		"ExecStart="+program+" -Ws -S /run/"+p.runtime+"/master.sock,mode,600 -f "+p.config,
		"ExecReload="+program+" -c -f "+p.config,
		"ExecReload=/bin/kill -USR2 $MAINPID",
		"RuntimeDirectory="+p.runtime,
		"RuntimeDirectoryMode=0750",
		"KillMode=mixed",
		"SuccessExitStatus=143",
		"Restart=always",
		"RestartSec=1",
		"RestartSteps=5",
		"RestartMaxDelaySec=30",
		"TimeoutStopSec=90")
	t.From("/max_connections", "LimitNOFILE=%d", fileLimit(spec))
	t.Own(logs.Service(p.unit)...)
	t.Own("",
		"CapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_SYS_CHROOT CAP_KILL CAP_SYS_RESOURCE",
		"NoNewPrivileges=yes",
		"ProtectSystem=strict",
		"ProtectHome=yes",
		"ProtectClock=yes",
		"ProtectControlGroups=yes",
		"ProtectHostname=yes",
		"ProtectKernelLogs=yes",
		"ProtectKernelModules=yes",
		"ProtectKernelTunables=yes",
		"ProtectProc=invisible",
		"PrivateDevices=yes",
		"PrivateTmp=yes",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
		"RestrictNamespaces=yes",
		"RestrictRealtime=yes",
		"RestrictSUIDSGID=yes",
		"LockPersonality=yes",
		"SystemCallArchitectures=native",
		"SystemCallFilter=@system-service chroot",
		"UMask=0077",
		"",
		"[Install]",
		"WantedBy=multi-user.target")
	return t
}

// fileLimit returns the descriptors that the worker may have. A connection
// needs one to the client and one to the server; sockets, checks, the event
// loop and a reload's handover come on top. The result is rounded up to a power of two, at
// least 65,536, so that most changes of the limit are a reload, not a restart.
func fileLimit(spec api.LoadBalancer) int {
	needed := 2*spec.MaxConnections + 1024 + 8*len(spec.Frontends)
	for _, b := range spec.Backends {
		needed += 4 * len(b.Servers)
	}
	limit := 1 << 16
	for limit < needed {
		limit <<= 1
	}
	return limit
}
