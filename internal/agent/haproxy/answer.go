package haproxy

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Processes is what "show proc" of the master answers (management manual, section 9.4).
type Processes struct {
	Master int
	// Worker is the process that takes new connections, 0 if there is none.
	Worker int
	// Leaving are the former workers that finish what they have.
	Leaving []int
}

// ParseProcesses reads the answer to "show proc".
func ParseProcesses(answer string) (Processes, error) {
	var p Processes
	leaving := false
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "#") {
			leaving = strings.HasPrefix(line, "# old workers")
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil || pid <= 0 {
			return Processes{}, fmt.Errorf("read HAProxy's processes: %q is not a process id", fields[0])
		}
		switch {
		case fields[1] == "master":
			p.Master = pid
		case fields[1] == "worker" && leaving:
			p.Leaving = append(p.Leaving, pid)
		case fields[1] == "worker":
			p.Worker = pid
		}
	}
	if p.Master == 0 {
		return Processes{}, errors.New("read HAProxy's processes: no master is among them")
	}
	return p, nil
}

// Reload is what "reload" of the master answers.
type Reload struct {
	Success bool
	// Messages are what the new process had to say while it started.
	Messages []Message
}

// ParseReload reads the answer to "reload": a line with the result, a line
// "--", and the start-up messages.
func ParseReload(answer string) (Reload, error) {
	first, rest, _ := strings.Cut(answer, "\n")
	switch strings.TrimSpace(first) {
	case "Success=1":
		return Reload{Success: true, Messages: ParseMessages(rest)}, nil
	case "Success=0":
		return Reload{Messages: ParseMessages(rest)}, nil
	}
	return Reload{}, fmt.Errorf("read HAProxy's answer to a reload: it begins with %q, not with its result", first)
}

// Info is what "show info" answers, as far as it is of use here.
type Info struct {
	Version string
	PID     int
	// Description is what the configuration says of itself, "" if nothing.
	Description string
	// FileLimit is how many descriptors the worker may have, FilesNeeded how
	// many it may come to need.
	FileLimit   int
	FilesNeeded int
	// Connections is how many connections clients hold now.
	Connections int
	// DroppedLogs counts the log lines that could not be written at once,
	// since the worker started.
	DroppedLogs int
}

// ParseInfo reads the answer to "show info".
func ParseInfo(answer string) (Info, error) {
	var info Info
	numbers := map[string]*int{
		"Pid": &info.PID, "Ulimit-n": &info.FileLimit, "Maxsock": &info.FilesNeeded,
		"CurrConns": &info.Connections, "DroppedLogs": &info.DroppedLogs,
	}
	for line := range strings.Lines(answer) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Version":
			info.Version = value
		case "description":
			info.Description = value
		}
		if target := numbers[name]; target != nil {
			n, err := strconv.Atoi(value)
			if err != nil {
				return Info{}, fmt.Errorf("read HAProxy's info: %s is %q, not a number", name, value)
			}
			*target = n
		}
	}
	if info.PID == 0 {
		return Info{}, errors.New("read HAProxy's info: it names no process id")
	}
	return info, nil
}

// Server is a server's line of "show servers state".
type Server struct {
	Backend string
	Name    string
	// Target is where the server is; the zero value if HAProxy shows no IP address.
	Target netip.AddrPort
	// Weight is the weight that is set, whatever the server's state.
	Weight int
	// Held tells that the server was put into drain or maintenance, by command or
	// by its agent check; a server that only follows another one is not held.
	Held bool
	// Drained tells that the server is held in drain, and not in maintenance.
	Drained bool
	// Down tells that the server is down, by its checks or by command.
	Down bool
	// Line is the whole line, in the format of [StateFile].
	Line string
}

// StateFile returns the content of a server state file: what a new worker is
// to know of servers from its start.
func StateFile(servers []Server) string {
	var b strings.Builder
	b.WriteString(serverVersion + "\n# " + stateColumns + "\n")
	for _, s := range servers {
		b.WriteString(s.Line + "\n")
	}
	return b.String()
}

// The columns that "show servers state" has in its version 1 (management
// manual, section 9.3).
const (
	serverColumns = "be_name srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port"
	serverVersion = "1"
	stateColumns  = "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight " +
		"srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state " +
		"bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
)

// The bits of a server's administrative state (management manual, section 9.3,
// "srv_admin_state").
const (
	drained = 0x08
	// inherited are those of a server that follows another one with "track".
	inherited = 0x02 | 0x10
)

// ParseServers reads the answer to "show servers state".
func ParseServers(answer string) ([]Server, error) {
	version, rest, _ := strings.Cut(answer, "\n")
	if strings.TrimSpace(version) != serverVersion {
		return nil, fmt.Errorf("read HAProxy's servers: the format is %q, known is %s", version, serverVersion)
	}
	header, rest, _ := strings.Cut(rest, "\n")
	columns := strings.Fields(strings.TrimPrefix(header, "#"))
	index := map[string]int{}
	for _, name := range strings.Fields(serverColumns) {
		if index[name] = slices.Index(columns, name); index[name] < 0 {
			return nil, fmt.Errorf("read HAProxy's servers: there is no column %s", name)
		}
	}
	var servers []Server
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < len(columns) {
			return nil, fmt.Errorf("read HAProxy's servers: a line has %d of %d columns", len(fields), len(columns))
		}
		server, err := parseServer(func(column string) string { return fields[index[column]] })
		if err != nil {
			return nil, fmt.Errorf("read HAProxy's servers: %w", err)
		}
		server.Line = strings.TrimSpace(line)
		servers = append(servers, server)
	}
	return servers, nil
}

func parseServer(column func(string) string) (Server, error) {
	s := Server{Backend: column("be_name"), Name: column("srv_name")}
	admin, err := strconv.Atoi(column("srv_admin_state"))
	if err != nil {
		return Server{}, fmt.Errorf("%s/%s: the state %q is not a number", s.Backend, s.Name, column("srv_admin_state"))
	}
	s.Held = admin&^inherited != 0
	s.Drained = admin&^inherited == drained
	s.Down = column("srv_op_state") == "0"
	if s.Weight, err = strconv.Atoi(column("srv_uweight")); err != nil {
		return Server{}, fmt.Errorf("%s/%s: the weight %q is not a number", s.Backend, s.Name, column("srv_uweight"))
	}
	port, err := strconv.ParseUint(column("srv_port"), 10, 16)
	if err != nil {
		return Server{}, fmt.Errorf("%s/%s: %q is not a port", s.Backend, s.Name, column("srv_port"))
	}
	if address, err := netip.ParseAddr(column("srv_addr")); err == nil {
		s.Target = netip.AddrPortFrom(address, uint16(port))
	}
	return s, nil
}

// Sort is what a [Stat] is about.
type Sort int

// The sorts of a Stat, by HAProxy's column "type".
const (
	FrontendStat Sort = 0
	BackendStat  Sort = 1
	ServerStat   Sort = 2
)

// Stat is a line of "show stat" (management manual, section 9.1).
type Stat struct {
	Sort Sort
	// Proxy is the frontend's or backend's name, Server the server's, if it is one.
	Proxy  string
	Server string
	// Status is HAProxy's word, such as "UP", "UP 1/2", "DRAIN" or "OPEN". A
	// server of weight 0 is "UP": "DRAIN" is what a command did.
	Status string
	// Check is HAProxy's word for the last check's result, such as "L7OK",
	// and CheckInfo what came with it.
	Check     string
	CheckInfo string
	// Weight is the weight in force.
	Weight int
	// Sessions are those open now, Limit is how many may be.
	Sessions int
	Limit    int
	// Requests counts HTTP requests since the worker started.
	Requests int64
}

// ParseStats reads the answer to "show stat".
func ParseStats(answer string) ([]Stat, error) {
	reader := csv.NewReader(strings.NewReader(strings.TrimPrefix(answer, "# ")))
	reader.FieldsPerRecord = -1
	columns, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("read HAProxy's statistics: %w", err)
	}
	index := map[string]int{}
	for i, name := range columns {
		index[name] = i
	}
	for _, name := range []string{"pxname", "svname", "type", "status", "check_status", "last_chk", "weight", "scur", "slim", "req_tot"} {
		if _, ok := index[name]; !ok {
			return nil, fmt.Errorf("read HAProxy's statistics: there is no column %s", name)
		}
	}
	var stats []Stat
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return stats, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read HAProxy's statistics: %w", err)
		}
		stat, err := parseStat(func(column string) string {
			if i := index[column]; i < len(record) {
				return record[i]
			}
			return ""
		})
		if err != nil {
			return nil, fmt.Errorf("read HAProxy's statistics: %w", err)
		}
		stats = append(stats, stat)
	}
}

func parseStat(column func(string) string) (Stat, error) {
	stat := Stat{
		Proxy: column("pxname"), Server: column("svname"), Status: column("status"),
		// An asterisk marks a check that is under way; the result is the one before.
		Check:     strings.TrimPrefix(column("check_status"), "* "),
		CheckInfo: column("last_chk"),
	}
	var sort, requests int64
	var weight, sessions, limit int64
	for _, number := range []struct {
		column string
		target *int64
	}{{"type", &sort}, {"req_tot", &requests}, {"weight", &weight}, {"scur", &sessions}, {"slim", &limit}} {
		text := column(number.column)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Stat{}, fmt.Errorf("%s/%s: %s is %q, not a number", stat.Proxy, stat.Server, number.column, text)
		}
		*number.target = n
	}
	stat.Sort, stat.Requests = Sort(sort), requests
	stat.Weight, stat.Sessions, stat.Limit = int(weight), int(sessions), int(limit)
	if stat.Sort != ServerStat {
		stat.Server = ""
	}
	return stat, nil
}
