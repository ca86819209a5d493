//go:build lab

package loadbalancer_test

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/loadbalancer"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestLabALogFormatOpensNothing plans expressions that would have HAProxy open
// files, and has the checker itself read such configurations, as if one had
// come past the validation.
func TestLabALogFormatOpensNothing(t *testing.T) {
	s := newStand(t)
	spec := over(newBackend(t, "web1"))
	s.apply(spec)
	plan := func(format string) error {
		frontend := spec.Frontends["www"]
		frontend.LogFormat = format
		spec.Frontends["www"] = frontend
		_, err := s.runner.Plan(context.Background(), id, s.base(), api.Write{Spec: api.Encode(spec)})
		return err
	}
	for _, format := range []string{"", `%ci "it's" %HM`, `%[src,ipmask(24)] %{+Q}[capture.req.hdr(1),lower] %[date(0,ms),ms_utime("%Y-%m-%dT%H:%M:%S.%3NZ")]`} {
		if err := plan(format); err != nil {
			t.Errorf("%s is refused: %v", format, err)
		}
	}
	for _, format := range []string{"%[src,map(/dev/zero)]", "%[src,map_ip(/etc/passwd)]", "%[env(HOME)]"} {
		if problem := api.AsProblem(plan(format)); problem == nil || problem.Type != api.ProblemInvalid || problem.Violations[0].Pointer != "/frontends/www/log_format" {
			t.Errorf("%s gave %v", format, problem)
		}
	}
	for _, path := range []string{"/etc/hostname", "/etc/passwd", "/dev/zero", "/proc/1/environ", "/proc/self/environ", "/var/lib/foobar", "/run/foobar/agent.sock"} {
		output, err := loadbalancer.RunChecker(t.Context(), []byte("defaults\n mode http\nfrontend www\n bind 127.0.0.1:18080\n log-format %[src,map_ip("+path+")]\n"))
		if path != "/etc/passwd" && (err == nil || !strings.Contains(output, "failed to open pattern file")) {
			t.Errorf("%s was opened: %q, %v", path, output, err)
		}
		if strings.Contains(output, "root") {
			t.Errorf("%s: the machine's file is quoted: %s", path, output)
		}
	}
}

// TestLabLogFormatNamesAreHAProxys compares the names that a log format may
// use with those that the machine's HAProxy has.
func TestLabLogFormatNamesAreHAProxys(t *testing.T) {
	for option, names := range map[string][]string{"-dKsmp": api.LogFormatFetches(), "-dKcnv": api.LogFormatConverters()} {
		output, _ := exec.CommandContext(t.Context(), "haproxy", option, "-c", "-f", "/dev/null").Output() // an empty configuration has no listener
		known := map[string]bool{}
		for _, found := range regexp.MustCompile(`(?m)^(?:\[[ .Y]*\] )?([A-Za-z0-9_.+-]+)`).FindAllStringSubmatch(string(output), -1) {
			known[found[1]] = true
		}
		for _, name := range names {
			if !known[name] {
				t.Errorf("HAProxy has no %s", name)
			}
		}
	}
}
