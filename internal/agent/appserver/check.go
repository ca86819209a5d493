package appserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Check asks nginx about its staged configuration, and whether the command's
// program and the static directories are there. Those of a release that is not
// unpacked yet are left to Apply. systemd-analyze is not asked: units hold validated values only, of
// which it would find none wrong.
func (k *Kind) Check(ctx context.Context, staged converge.Staged) error {
	s, err := specOf(staged.Version.Spec)
	if err != nil {
		return err
	}
	addresses, err := k.addresses()
	if err != nil {
		return err
	}
	if lacks := addresses.Lacks(s.Address); lacks != "" {
		return &api.Problem{Type: api.ProblemEngineRefused, Title: "The app server cannot run like this", Violations: api.Violations{{Pointer: "/address", Detail: lacks}}}
	}
	l := layout{name: staged.Name}
	release := l.release(s.Release.SHA256)
	if !s.StaticSite() && (!ofRelease(s.Command[0]) || k.machine.exists(release)) {
		if err := k.machine.checkProgram(s.Command[0], release); err != nil {
			return err
		}
	}
	if k.machine.exists(release) {
		if err := k.machine.checkStatic(s, release); err != nil {
			return err
		}
	}
	return k.checkNginx(ctx, l, staged)
}

// checkNginx has nginx test the configuration, whose runtime paths lie in a
// directory of the sandbox, since a test makes pid files, sockets and spool
// directories.
func (k *Kind) checkNginx(ctx context.Context, l layout, staged converge.Staged) error {
	content, err := os.ReadFile(staged.Path(l.nginxConfig()))
	if err != nil {
		return fmt.Errorf("read the staged nginx configuration: %w", err)
	}
	work := checker.WorkDir + "/"
	text := strings.NewReplacer(l.nginxRuntimeDir()+"/", work, spoolDir, work).Replace(string(content))
	output, err := k.nginx(ctx, []byte(text))
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*checker.Refusal](err); !refused {
		return fmt.Errorf("test the nginx configuration: %w", err)
	}
	refusals := nginxRefusals(output, staged.Version.State.File(l.nginxConfig()).Sources)
	if len(refusals) == 0 {
		return fmt.Errorf("test the nginx configuration: %w: %s", err, strings.TrimSpace(output))
	}
	return &api.Problem{Type: api.ProblemEngineRefused, Title: "nginx refuses the configuration", Violations: refusals}
}

// testNginx has nginx test a configuration in a sandbox. It binds the machine's
// addresses, as the app server's own nginx will.
func testNginx(ctx context.Context, config []byte) (string, error) {
	return checker.Run(ctx, checker.Check{
		Program: nginxProgram, Args: []string{"-t", "-q", "-e", "stderr", "-p", checker.WorkDir, "-c", checker.ConfigPath},
		Account: nginxUser, Config: config, Listens: true,
	})
}

var (
	refusalPattern = regexp.MustCompile(`\[(?:emerg|alert|crit|error)\] (?:\d+#\d+: )?(.*?)(?: in \S+:(\d+))?$`)
	listenPattern  = regexp.MustCompile(`^(?:bind\(\) to|socket\(\)) (\S+) failed \((\d+): (.*)\)$`)
)

// nginxRefusals reads what nginx printed, and finds the values that the lines
// in question came from.
func nginxRefusals(output string, sources map[int]api.Pointer) []api.Violation {
	var found []api.Violation
	for line := range strings.Lines(output) {
		match := refusalPattern.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		number, _ := strconv.Atoi(match[2]) // no number is no line
		violation := api.Violation{Pointer: sources[number], Detail: match[1]}
		if listen := listenPattern.FindStringSubmatch(match[1]); listen != nil {
			violation = listenViolation(listen[1], listen[2], listen[3])
		}
		if !slices.Contains(found, violation) {
			found = append(found, violation)
		}
	}
	return found
}

// listenViolation explains why nginx cannot listen. The numbers are errno(3)
// of Linux.
func listenViolation(address, number, reason string) api.Violation {
	switch number {
	case "97": // EAFNOSUPPORT
		return api.Violation{Pointer: "/address", Detail: fmt.Sprintf(`nginx cannot listen on %s: the machine has IPv6 switched off; use "0.0.0.0"`, address)}
	case "99": // EADDRNOTAVAIL
		return api.Violation{Pointer: "/address", Detail: fmt.Sprintf("nginx cannot listen on %s: the machine has no such address", address)}
	}
	return api.Violation{Pointer: "/port", Detail: fmt.Sprintf("nginx cannot listen on %s: %s", address, reason)}
}
