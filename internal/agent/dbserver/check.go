package dbserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// maxDetail bounds the engine's message in a violation, in bytes.
const maxDetail = 400

// Check has MariaDB read the staged configuration and nft the staged packet
// filter. A warning about a setting is an error too: what the server would
// change in silence is not what was asked for.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	spec, err := specOf(staged.Version.Spec)
	if err != nil {
		return err
	}
	if err := k.listens(spec); err != nil {
		return err
	}
	p := PathsOf(staged.Name)
	config, err := os.ReadFile(staged.Path(p.Config))
	if err != nil {
		return fmt.Errorf("read the staged configuration: %w", err)
	}
	output, err := k.check(ctx, config)
	if _, refused := errors.AsType[*checker.Refusal](err); err != nil && !refused {
		return fmt.Errorf("check the configuration with mariadbd --help: %w", err)
	}
	messages := parseMessages(output)
	if err == nil {
		messages = slices.DeleteFunc(messages, func(m message) bool { return len(m.pointers(spec)) == 0 })
	}
	if err == nil && len(messages) == 0 {
		return nil
	}
	return refusal("MariaDB refuses the configuration", messages, spec)
}

// listens sees that the machine has the addresses to listen on. MariaDB would
// not: the image lets programs bind addresses that are still to come.
func (k *Kind) listens(spec api.DBServer) error {
	addresses, err := k.addresses()
	if err != nil {
		return fmt.Errorf("list the machine's addresses: %w", err)
	}
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: "The database server cannot listen"}
	for i, text := range spec.ListenAddresses {
		address, err := netip.ParseAddr(text)
		if err != nil || address.IsLoopback() || slices.Contains(addresses, address) {
			continue // "*", or there
		}
		problem.Violations = append(problem.Violations, api.Violation{
			Pointer: api.Pointer("/listen_addresses").At(i),
			Detail:  fmt.Sprintf("%s is no address of this machine, which has %v", address, addresses),
		})
	}
	if len(problem.Violations) > 0 {
		return problem
	}
	return nil
}

// machineAddresses returns the machine's own addresses but those of loopback.
func machineAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, one := range all {
		prefix, err := netip.ParsePrefix(one.String())
		if err == nil && !prefix.Addr().IsLoopback() && !prefix.Addr().IsLinkLocalUnicast() {
			found = append(found, prefix.Addr())
		}
	}
	return found, nil
}

// runChecker has MariaDB read a configuration as it would at its start, and
// print what it makes of it; it opens no data. Its directories are not there
// in its sandbox, so it is told others. Its standard error is the output.
func runChecker(ctx context.Context, config []byte) (string, error) {
	return checker.Run(ctx, checker.Check{
		Program: program,
		Args: []string{
			"--defaults-file=" + checker.ConfigPath, "--datadir=" + checker.WorkDir, "--tmpdir=" + checker.WorkDir,
			"--secure-file-priv=" + checker.WorkDir, "--help", "--verbose",
		},
		Account: account, Config: config, Reads: []string{"/usr/share/mariadb"}, ErrorsOnly: true,
	})
}

// message is one line that MariaDB wrote.
type message struct {
	level, text string
}

var messagePattern = regexp.MustCompile(`(?m)^(?:\d{4}-\d\d-\d\d +\d{1,2}:\d\d:\d\d \d+ )?\[(ERROR|Warning)\] (?:mariadbd: |\S*/mariadbd: )?(.+)$`)

// ownLimits returns how MariaDB begins what it says of the process that it
// runs in, which for its checker has the agent's limits, and no data.
func ownLimits() []string {
	return []string{"Could not increase number of max_open_files", "Changed limits", "Could not open mysql.plugin table"}
}

// parseMessages returns the errors and warnings in what MariaDB wrote.
func parseMessages(output string) []message {
	var found []message
	for _, match := range messagePattern.FindAllStringSubmatch(output, -1) {
		m := message{level: match[1], text: strings.TrimSpace(match[2])}
		own := slices.ContainsFunc(ownLimits(), func(start string) bool { return strings.HasPrefix(m.text, start) })
		if !own && !slices.Contains(found, m) { // a unit that was restarted says it again
			found = append(found, m)
		}
	}
	return found
}

// hints tell which place of the spec a message, in lower case, is about that
// names no setting.
func hints() []struct {
	says    string
	pointer api.Pointer
} {
	return []struct {
		says    string
		pointer api.Pointer
	}{
		{"address already in use", "/port"},
		{"cannot assign requested address", "/listen_addresses"},
		{"bind on tcp/ip port", "/listen_addresses"},
		{"buffer pool", "/settings/innodb_buffer_pool_size"},
		{"collation", "/settings/collation_server"},
		{"character set", "/settings/character_set_server"},
	}
}

var wordPattern = regexp.MustCompile(`[A-Za-z][A-Za-z0-9_-]*`)

// pointers returns the places in the spec that a message is about: the
// settings of the spec that it names, however it spells them, or what a
// familiar text tells.
func (m message) pointers(spec api.DBServer) []api.Pointer {
	var found []api.Pointer
	for _, word := range wordPattern.FindAllString(m.text, -1) {
		name := strings.ReplaceAll(strings.ToLower(word), "-", "_")
		if _, ok := spec.Settings[name]; ok {
			found = append(found, api.Pointer("/settings").At(name))
		}
	}
	if len(found) == 0 && m.level == "ERROR" {
		text := strings.ToLower(m.text)
		for _, hint := range hints() {
			steps := hint.pointer.Steps()
			if _, given := spec.Settings[steps[len(steps)-1]]; strings.Contains(text, hint.says) && (len(steps) == 1 || given) {
				return []api.Pointer{hint.pointer}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// refusal turns what MariaDB wrote into a problem that points at the places in
// the spec that it is about.
func refusal(title string, messages []message, spec api.DBServer) *api.Problem {
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: title}
	var elsewhere []string
	for _, m := range messages {
		problem.Log = append(problem.Log, m.text)
		places := m.pointers(spec)
		for _, p := range places {
			problem.Violations = append(problem.Violations, api.Violation{Pointer: p, Detail: shorten(m.text)})
		}
		if len(places) == 0 && m.level == "ERROR" && m.text != "Aborting" {
			elsewhere = append(elsewhere, m.text)
		}
	}
	switch {
	case len(problem.Violations) > 0:
	case len(elsewhere) > 0:
		problem.Detail = shorten(strings.Join(elsewhere, "; "))
	case len(problem.Log) > 0:
		problem.Detail = shorten(strings.Join(problem.Log, "; "))
	default:
		problem.Detail = "it gave no reason"
	}
	return problem
}

func shorten(message string) string {
	if len(message) <= maxDetail {
		return message
	}
	return strings.ToValidUTF8(message[:maxDetail], "") + " …"
}
