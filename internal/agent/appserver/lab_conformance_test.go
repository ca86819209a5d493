//go:build lab

package appserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/appserver"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/logs"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation/conformance"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

func TestConformance(t *testing.T) {
	onLabMachine(t)
	one, first := pack(t, python("one"))
	two, second := pack(t, python("two"))
	bad, third := pack(t, map[string]entry{"main.py": {"raise SystemExit('no database')", 0o644}})

	a := quick(one, 8081)
	a.Environment = map[string]string{"GREETING": "one\ntwo"}
	a.SecretsVersion = 1
	b := quick(two, 8082)
	b.AppPorts, b.Address = []int{8083, 8084}, "127.0.0.1"
	b.Command = []string{"/usr/bin/python3", "main.py", "$PORT"}
	b.SecretsVersion, b.RequestLimits.BodyBytes, b.TrustedProxies = 1, 1000, []string{"10.0.0.0/24"}
	b.HealthCheck.Path, b.StopTimeout = "/health", api.Duration(1500*time.Millisecond)
	c := quick(bad, 8081)
	c.SecretsVersion = 1

	units := systemd.New()
	t.Cleanup(units.Close)
	deps := appserver.Deps{Systemd: units, Journal: logs.Journal{}}
	conformance.Run(t, conformance.Suite{
		Kind: appserver.New(deps), Name: "conform",
		First: api.Encode(a), Second: api.Encode(b), Broken: api.Encode(c),
		Secrets: map[string]api.Secret{"TOKEN": "hunter2"},
		Blobs:   map[string][]byte{one: first, two: second, bad: third},
		Breaks: []conformance.Break{
			{Name: "another release runs", Do: func(ctx context.Context) error {
				target, err := os.Readlink("/srv/conform/current")
				if err != nil {
					return err
				}
				slot := filepath.Base(target)
				release := "/srv/conform/slots/" + slot + "/release"
				return behindTheFiles(release, func() error {
					return os.Symlink("../../releases/"+one[:12], release)
				}, func() error { return units.Restart(ctx, "foobar-app-conform@"+slot+".service") })
			}},
			{Name: "another nginx configuration runs", Do: anotherNginx(units)},
		},
		Beside: true,
		Serves: servesAs(map[string]string{one: "one", two: "two"}),
		Units:  units,
	})
}

// quick returns a spec whose app is known to start at once or not at all.
func quick(release string, port int) api.AppServer {
	s := api.DefaultAppServer()
	s.Release.SHA256, s.Port = release, port
	s.Command = []string{"python3", "main.py"}
	s.HealthCheck.Interval, s.HealthCheck.Successes = api.Duration(20*time.Millisecond), 2
	s.HealthCheck.MinHealthyTime = 0
	s.HealthCheck.StartTimeout, s.StopTimeout = api.Duration(30*time.Second), api.Duration(time.Second)
	return s
}

// behindTheFiles has something run on another file or link than the one in
// place, and puts that back.
func behindTheFiles(path string, another, run func() error) error {
	kept := path + ".kept"
	if err := os.Rename(path, kept); err != nil {
		return err
	}
	for _, do := range []func() error{another, run, func() error { return os.Rename(kept, path) }} {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

func anotherNginx(units *systemd.Manager) func(ctx context.Context) error {
	const config = "/etc/foobar/app-server/conform/nginx.conf"
	return func(ctx context.Context) error {
		text, err := os.ReadFile(config)
		if err != nil {
			return err
		}
		edited := strings.Replace(string(text), `return 200 "`, `return 200 "x`, 1)
		return behindTheFiles(config,
			func() error { return os.WriteFile(config, []byte(edited), 0o644) },
			func() error {
				if err := units.Reload(ctx, "foobar-app-conform-nginx.service"); err != nil {
					return err
				}
				return allWorkersSay(ctx, "x")
			})
	}
}

// allWorkersSay waits until nginx runs a configuration whose revision begins
// so, and the workers of the one before have had time to stop listening.
func allWorkersSay(ctx context.Context, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", "/run/foobar-app-conform-nginx/admin.sock")
		},
	}}
	for inRow := 0; inRow < 10; time.Sleep(20 * time.Millisecond) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nginx/", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if inRow++; !strings.HasPrefix(string(body), prefix) {
			inRow = 0
		}
	}
	return nil
}

// servesAs asks the echo app what it was given.
func servesAs(releases map[string]string) func(ctx context.Context, raw json.RawMessage) error {
	return func(ctx context.Context, raw json.RawMessage) error {
		var spec api.AppServer
		if err := json.Unmarshal(raw, &spec); err != nil {
			return err
		}
		_, answer, err := ask(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d/", spec.Port), nil, nil)
		if err != nil {
			return err
		}
		wanted := maps.Clone(spec.Environment)
		if wanted == nil {
			wanted = map[string]string{}
		}
		wanted["TOKEN"] = "hunter2"
		for name, value := range wanted {
			if answer.Environment[name] != value {
				return fmt.Errorf("%s is %q, want %q", name, answer.Environment[name], value)
			}
		}
		if answer.Release != releases[spec.Release.SHA256] {
			return fmt.Errorf("release %q answers", answer.Release)
		}
		return nil
	}
}
