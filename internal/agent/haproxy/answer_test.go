package haproxy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// recorded returns what HAProxy 3.0.11 really answered, see testdata.
func recorded(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parsed fails the test unless parse succeeds with want.
func parsed[T any](t *testing.T, parse func(string) (T, error), answer string, want T) {
	t.Helper()
	got, err := parse(answer)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, expected %+v", got, want)
	}
}

func TestParseProcesses(t *testing.T) {
	parsed(t, ParseProcesses, recorded(t, "proc"), Processes{Master: 19718, Worker: 19722})
	parsed(t, ParseProcesses, recorded(t, "proc-leaving"), Processes{Master: 19718, Worker: 19770, Leaving: []int{19722}})
	parsed(t, ParseProcesses, recorded(t, "proc-failed"), Processes{Master: 19718, Worker: 19770})
	parsed(t, ParseProcesses, "7 master 0\n# workers\n# programs\n", Processes{Master: 7})
}

func TestParseInfo(t *testing.T) {
	parsed(t, ParseInfo, recorded(t, "info"), Info{Version: "3.0.11-1+deb13u5", PID: 19722, FileLimit: 20000, FilesNeeded: 40054})
}

func TestParseServers(t *testing.T) {
	line1 := "3 web 1 web1 127.0.0.1 2 0 100 100 3 15 3 3 6 0 0 0 - 8081 - 0 0 - - 0"
	line2 := "3 web 2 web2 127.0.0.1 0 0 100 100 3 8 2 0 6 0 0 0 - 8082 - 0 0 - - 0"
	first, second := netip.MustParseAddrPort("127.0.0.1:8081"), netip.MustParseAddrPort("127.0.0.1:8082")
	parsed(t, ParseServers, recorded(t, "servers"), []Server{
		{Backend: "web", Name: "web1", Target: first, Weight: 100, Line: line1},
		{Backend: "web", Name: "web2", Target: second, Weight: 100, Down: true, Line: line2},
	})
	got, err := ParseServers(recorded(t, "servers-held"))
	if err != nil {
		t.Fatal(err)
	}
	if !got[0].Held || got[0].Weight != 20 || !got[1].Held || got[1].Weight != 100 {
		t.Errorf("one server in maintenance and one in drain were read as %+v", got)
	}
}

// TestWhoIsHeld: a state that a server only takes from the one that it tracks is
// not its own.
func TestWhoIsHeld(t *testing.T) {
	for admin, want := range map[int][2]bool{ // held, drained
		0: {}, 1: {true, false}, 2: {}, 8: {true, true}, 16: {}, 9: {true, false}, 18: {}, 24: {true, true},
	} {
		got, err := ParseServers(fmt.Sprintf("1\n# be_name srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\nweb web1 10.0.0.1 2 %d 100 80\n", admin))
		if err != nil || got[0].Held != want[0] || got[0].Drained != want[1] {
			t.Errorf("the state %d is read as %+v, %v", admin, got, err)
		}
	}
}

func TestStateFileIsWhatHAProxyShows(t *testing.T) {
	want := recorded(t, "servers")
	servers, err := ParseServers(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := StateFile(servers); got+"\n" != want {
		t.Errorf("got %s, expected %s", got, want)
	}
}

func TestParseStats(t *testing.T) {
	parsed(t, ParseStats, recorded(t, "stat"), []Stat{
		{Sort: FrontendStat, Proxy: "www", Status: "OPEN", Limit: 20000, Requests: 3},
		{Sort: ServerStat, Proxy: "web", Server: "web1", Status: "UP", Check: "L7OK", Weight: 100, Limit: 500, Requests: 3},
		{Sort: ServerStat, Proxy: "web", Server: "web2", Status: "DOWN", Check: "L4CON", CheckInfo: "Connection refused", Weight: 100, Limit: 500},
		{Sort: BackendStat, Proxy: "web", Status: "UP", Weight: 100, Limit: 2000, Requests: 3},
	})
	words := func(name string) []string {
		stats, err := ParseStats(recorded(t, name))
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, stat := range stats {
			words = append(words, stat.Proxy+"/"+stat.Server+" "+stat.Status)
		}
		return words
	}
	if got, want := words("stat-held"), []string{"www/ OPEN", "web/web1 MAINT", "web/web2 DOWN", "web/ DOWN"}; !reflect.DeepEqual(got, want) {
		t.Errorf("held servers are %q, expected %q", got, want)
	}
	if got, want := words("stat-zero"), []string{"www/ OPEN", "web/web1 UP 1/2", "web/web2 DOWN", "web/ DOWN"}; !reflect.DeepEqual(got, want) {
		t.Errorf("a server without weight is %q, expected %q", got, want)
	}
}

func TestParseReload(t *testing.T) {
	ok, err := ParseReload(recorded(t, "reload-ok"))
	if err != nil || !ok.Success {
		t.Errorf("a reload that succeeded was read as %+v, %v", ok, err)
	}
	for name, want := range map[string]Message{
		"reload-bad":     {Alert, 60, "'server web/web1' : unknown keyword 'bogus'."},
		"reload-bind":    {Alert, 31, "Binding for frontend www: protocol tcpv4: cannot bind socket (Address already in use) for [127.0.0.1:99]."},
		"reload-address": {Alert, 31, "Binding for frontend www: protocol tcpv4: cannot bind socket (Cannot assign requested address) for [203.0.113.9:80]."},
	} {
		failed, err := ParseReload(recorded(t, name))
		if err != nil || failed.Success {
			t.Errorf("%s: a reload that failed was read as %+v, %v", name, failed, err)
		}
		var alerts []Message
		for _, m := range failed.Messages {
			if m.Level == Alert {
				alerts = append(alerts, m)
			}
		}
		if !reflect.DeepEqual(alerts, []Message{want}) {
			t.Errorf("%s: the alerts are %+v, expected %+v", name, alerts, want)
		}
	}
}

func TestParsersRefuseWhatIsNoAnswer(t *testing.T) {
	parsers := map[string]func(string) error{
		"processes": func(s string) error { _, err := ParseProcesses(s); return err },
		"reload":    func(s string) error { _, err := ParseReload(s); return err },
		"info":      func(s string) error { _, err := ParseInfo(s); return err },
		"servers":   func(s string) error { _, err := ParseServers(s); return err },
		"stats":     func(s string) error { _, err := ParseStats(s); return err },
	}
	for name, parse := range parsers {
		for _, answer := range []string{
			"", "\n", "Unknown command: 'show'\n", "Can't find the target PID matching the prefix '@1'\n",
			"x master\n", "Success=2\n", "Pid: none\n", "2\n# be_id\n", "1\n# be_id\n",
		} {
			if parse(answer) == nil {
				t.Errorf("%s: %q was taken for an answer", name, answer)
			}
		}
	}
	servers, stats := recorded(t, "servers"), recorded(t, "stat")
	for name, broken := range map[string]string{
		"cut line":   strings.TrimSuffix(strings.TrimSpace(servers), " - - 0"),
		"weight":     strings.ReplaceAll(servers, " 100 100 ", " x 100 "),
		"state":      strings.ReplaceAll(servers, "127.0.0.1 2 0 ", "127.0.0.1 2 x "),
		"port":       strings.ReplaceAll(servers, " 8081 ", " 80810 "),
		"no columns": strings.ReplaceAll(servers, "srv_port", "srv_door"),
	} {
		if parsers["servers"](broken) == nil {
			t.Errorf("servers with a broken %s were read", name)
		}
	}
	for name, broken := range map[string]string{
		"number": strings.ReplaceAll(stats, ",20000,", ",many,"),
		"column": strings.ReplaceAll(stats, ",req_tot,", ",requests,"),
		"quote":  stats + "\"",
	} {
		if parsers["stats"](broken) == nil {
			t.Errorf("statistics with a broken %s were read", name)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, name := range []string{"proc", "proc-leaving", "info", "servers", "servers-held", "stat", "stat-held", "reload-ok", "reload-bad", "reload-bind"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, answer string) {
		if p, err := ParseProcesses(answer); err == nil && p.Master <= 0 {
			t.Errorf("processes without a master: %+v", p)
		}
		if info, err := ParseInfo(answer); err == nil && info.PID == 0 {
			t.Errorf("info without a process: %+v", info)
		}
		_, _ = ParseReload(answer)
		_, _ = ParseServers(answer)
		_, _ = ParseStats(answer)
		for _, m := range ParseMessages(answer) {
			if strings.ContainsAny(m.Text, "\n\r") {
				t.Errorf("a message of two lines: %q", m.Text)
			}
		}
	})
}
