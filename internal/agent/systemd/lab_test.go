//go:build lab

// These tests run as root on a machine of the lab, with its real systemd.
package systemd_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
)

const unitDir = "/etc/systemd/system/"

// install writes a unit file that is gone, and stopped, after the test.
func install(t *testing.T, m *systemd.Manager, name, text string) {
	t.Helper()
	container, err := os.ReadFile("/run/systemd/container")
	if err != nil || strings.TrimSpace(string(container)) != "systemd-nspawn" {
		t.Fatal("this test changes the machine that it runs on: copy it to a machine of the lab, see internal/lab")
	}
	if err := os.WriteFile(unitDir+name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		unit := strings.Replace(name, "@.", "@blue.", 1) // the one instance that is tried of a template
		err := errors.Join(m.Stop(ctx, unit), m.ResetFailed(ctx, unit), m.Disable(ctx, unit), os.Remove(unitDir+name))
		if err = errors.Join(err, m.DaemonReload(ctx)); err != nil {
			t.Error(err)
		}
	})
	if err := m.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func state(t *testing.T, m *systemd.Manager, name string) systemd.Status {
	t.Helper()
	s, err := m.Status(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLifeOfAUnit(t *testing.T) {
	m := systemd.New()
	t.Cleanup(m.Close)
	const name = "foobar-test-life.service"
	if s := state(t, m, name); s.LoadState != "not-found" || s.Active() {
		t.Errorf("a unit that does not exist is %+v", s)
	}
	install(t, m, name, "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
	steps := []struct {
		name string
		do   func() error
		want func(s systemd.Status) bool
	}{
		{"start", func() error { return m.Start(t.Context(), name) }, func(s systemd.Status) bool { return s.Active() && s.MainPID > 0 && s.UnitFileState == "disabled" }},
		{"reload", func() error { return m.Reload(t.Context(), name) }, systemd.Status.Active},
		{"restart", func() error { return m.Restart(t.Context(), name) }, systemd.Status.Active},
		{"enable", func() error { return errors.Join(m.Enable(t.Context(), name), m.DaemonReload(t.Context())) }, func(s systemd.Status) bool { return s.UnitFileState == "enabled" }},
		{"stop", func() error { return m.Stop(t.Context(), name) }, func(s systemd.Status) bool { return s.ActiveState == "inactive" && s.MainPID == 0 }},
		{"disable", func() error { return errors.Join(m.Disable(t.Context(), name), m.DaemonReload(t.Context())) }, func(s systemd.Status) bool { return s.UnitFileState == "disabled" }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if s := state(t, m, name); !step.want(s) {
			t.Errorf("after %s it is %+v", step.name, s)
		}
	}
	for _, unknown := range []error{m.Disable(t.Context(), "foobar-unknown.service"), m.ResetFailed(t.Context(), "foobar-unknown.service")} {
		if unknown != nil {
			t.Errorf("what is unknown: %v", unknown)
		}
	}
}

func TestAFailedStartTellsWhy(t *testing.T) {
	m := systemd.New()
	t.Cleanup(m.Close)
	const name = "foobar-test-fail.service"
	install(t, m, name, "[Service]\nType=notify\nExecStart=/bin/false\n")
	failure, ok := errors.AsType[*systemd.JobError](m.Start(t.Context(), name))
	if !ok || failure.Job != "failed" || failure.Unit != name || failure.Result == "success" {
		t.Errorf("the error is %v", failure)
	}
	if s := state(t, m, name); s.ActiveState != "failed" {
		t.Errorf("it is %+v", s)
	}
	if err := m.Start(t.Context(), "foobar-unknown.service"); err == nil || !strings.Contains(err.Error(), "foobar-unknown.service") {
		t.Errorf("the start of what is unknown: %v", err)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	m := systemd.New()
	t.Cleanup(m.Close)
	const name = "foobar-test-slow.service"
	install(t, m, name, "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if s, err := m.Status(ctx, name); err != nil || s.ActiveState == "activating" {
				return
			}
		}
	}()
	if err := m.Start(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestTemplatesMasksAndDropIns(t *testing.T) {
	m := systemd.New()
	t.Cleanup(m.Close)
	const template, name = "foobar-test@.service", "foobar-test@blue.service"
	install(t, m, template, "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n")
	if err := exec.CommandContext(t.Context(), "systemctl", "mask", name).Run(); err != nil {
		t.Fatal(err)
	}
	if s := state(t, m, name); s.LoadState != "masked" {
		t.Errorf("masked, it is %+v", s)
	}
	if err := errors.Join(m.Enable(t.Context(), name), m.DaemonReload(t.Context()), m.Start(t.Context(), name)); err != nil {
		t.Fatal(err)
	}
	if s := state(t, m, name); s.LoadState != "loaded" || s.UnitFileState != "enabled" || !s.Active() || len(s.DropIns) != 0 {
		t.Errorf("enabled and started, it is %+v", s)
	}
	if err := exec.CommandContext(t.Context(), "systemctl", "set-property", name, "CPUWeight=50").Run(); err != nil {
		t.Fatal(err)
	}
	if s := state(t, m, name); len(s.DropIns) != 1 {
		t.Errorf("with a drop-in it is %+v", s)
	}
	if err := exec.CommandContext(t.Context(), "systemctl", "revert", name).Run(); err != nil {
		t.Fatal(err)
	}
}

func TestALostConnectionIsMadeAnew(t *testing.T) {
	m := systemd.New()
	t.Cleanup(m.Close)
	if s := state(t, m, "dbus.service"); s.LoadState != "loaded" {
		t.Fatalf("it is %+v", s)
	}
	if err := exec.CommandContext(t.Context(), "systemctl", "daemon-reexec").Run(); err != nil {
		t.Fatal(err)
	}
	if s := state(t, m, "dbus.service"); s.LoadState != "loaded" {
		t.Errorf("after systemd began anew it is %+v", s)
	}
	m.Close()
	if s := state(t, m, "dbus.service"); s.LoadState != "loaded" {
		t.Errorf("after a close it is %+v", s)
	}
}

func TestUsersAreMadeOnce(t *testing.T) {
	for range 2 {
		if err := systemd.EnsureUser(t.Context(), "app-labtest", "adm"); err != nil {
			t.Fatal(err)
		}
	}
	u, err := user.Lookup("app-labtest")
	if err != nil || u.HomeDir != "/nonexistent" {
		t.Errorf("the user is %+v, %v", u, err)
	}
	g, err := user.LookupGroup("adm")
	if err != nil {
		t.Fatal(err)
	}
	groups, err := u.GroupIds()
	if err != nil || !strings.Contains(strings.Join(groups, " "), g.Gid) {
		t.Errorf("its groups are %v, %v", groups, err)
	}
	if err := systemd.EnsureUser(t.Context(), "no user\nname"); err == nil {
		t.Error("a name that is none was taken")
	}
}
