package dbserver

import (
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// renderUnit returns a unit that gives MariaDB what it needs and no more.
//
// Key and certificates are passed on at the start and at each reload, which
// takes a new certificate without a restart: a systemd credential would stay
// what it was at the start. A data directory that is not there keeps it from starting: an empty one
// in its place, for instance of a disk that was not mounted, would be believed.
//
// What root does here happens in directories of root's: the engine's account could
// put a link where root is about to write.
func renderUnit(name, leaf string, spec api.DBServer) *converge.Text {
	p := PathsOf(name)
	handOn := "/usr/bin/install --owner=root --group=" + account + " --mode=0440 --target-directory=" + p.TLS +
		" " + leaf + "/key.pem " + leaf + "/cert.pem " + leaf + "/ca.pem"
	t := &converge.Text{}
	t.Own("# Unit of a database server, "+byHand,
		"[Unit]",
		"Description=foobar database server "+name+" (MariaDB)",
		"Documentation=https://mariadb.com/kb/en/documentation/",
		"After=network-online.target nftables.service",
		"Wants=network-online.target",
		"ReloadPropagatedFrom=nftables.service",
		"AssertPathIsDirectory="+p.Data,
		"StartLimitIntervalSec=0",
		"",
		"[Service]",
		"Type=notify",
		"User="+account,
		"Group="+account,
		"ExecStartPre=+/usr/bin/install --directory --owner=root --group="+account+" --mode=0750 "+p.TLS,
		"ExecStartPre=+"+handOn,
		"ExecStartPre=+"+filter+" -f "+p.Clients,
		"ExecStart="+program+" --defaults-file="+p.Config+" --report-host=%H",
		// No server ends because it cannot be determined.
		"ExecStartPost=-+"+agentRuns("started", name),
		"ExecReload=+"+filter+" -f "+p.Clients,
		"ExecReload=+"+handOn,
		"ExecReload=+"+agentRuns("reloaded", name),
		"ExecStopPost=-+"+filter+" delete table inet "+p.Table,
		"ExecStopPost=-+/bin/rm -rf "+p.TLS,
		"RuntimeDirectory="+p.runtime,
		"StateDirectory=foobar-db/"+name+"/tmp foobar-db/"+name+"/files",
		"StateDirectoryMode=0700",
		"ReadWritePaths="+p.Data,
		"LogsDirectory="+p.runtime,
		"LogsDirectoryMode=0750",
		"Restart=always",
		"RestartSec=1",
		"RestartSteps=5",
		"RestartMaxDelaySec=30",
		"TimeoutStartSec=900",
		"TimeoutStopSec=900",
		"TasksMax=99%",
		// An app beside it has a quarter of its share, and is killed first (package appserver).
		"CPUWeight=200",
		"IOWeight=200",
		"OOMScoreAdjust=-800")
	t.From(api.Pointer("/settings").At("max_connections"), "LimitNOFILE=%d", fileLimit(spec))
	t.Own("LimitCORE=0")
	t.Own(logs.Service(p.Unit)...)
	t.Own("",
		"CapabilityBoundingSet=",
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
		"RemoveIPC=no",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
		"RestrictNamespaces=yes",
		"RestrictRealtime=yes",
		"RestrictSUIDSGID=yes",
		"LockPersonality=yes",
		"MemoryDenyWriteExecute=yes",
		"KeyringMode=private",
		"SystemCallArchitectures=native",
		"SystemCallFilter=@system-service",
		"SystemCallFilter=~@privileged",
		"SystemCallFilter=@chown",
		"SystemCallErrorNumber=EPERM",
		"UMask=0077",
		"",
		"[Install]",
		"WantedBy=multi-user.target")
	return t
}

// agentRuns is the command that has the agent's program do something in a server,
// as its superuser, who is root on the socket. The engine's own client would follow
// a link that the engine's account has put in the socket's place.
func agentRuns(what, name string) string { return agent + " db-server " + what + " " + name }

// minFiles is the least limit of open files; it suffices for the engine's
// defaults. maxFiles is more than Linux gives to any process (fs.nr_open).
const (
	minFiles = int64(1) << 16
	maxFiles = int64(1) << 30
)

// fileLimit returns the descriptors that the server may have: MariaDB wants
// one for each connection and two for each cached table. Rounded up to a power
// of two, so that most changes at run time leave the unit as it is.
func fileLimit(spec api.DBServer) int64 {
	needed := number(spec, "max_connections", 151) + 2*number(spec, "table_open_cache", 2000) + number(spec, "table_definition_cache", 400) + 1024
	limit := minFiles
	for limit < min(needed, maxFiles) {
		limit <<= 1
	}
	return limit
}

// number returns the value of a setting, or what the engine takes without it.
func number(spec api.DBServer, name string, fallback int64) int64 {
	s, _ := api.DBSettingNamed(spec.Engine, name)
	text, given := spec.Settings[name]
	value, err := s.Parse(text)
	if !given || err != nil {
		return fallback
	}
	n, err := api.ParseSize(value)
	if err != nil {
		return fallback
	}
	return min(n, maxFiles) // the sum of some must not overflow; the checker refuses what is more
}
