//go:build lab

package appserver_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// TestDriftNamesItsCause damages a machine as people do, and has an apply
// repair it or say who must.
func TestDriftNamesItsCause(t *testing.T) {
	s := newStand(t)
	spec := s.spec(s.release("cause"), 8081)
	s.apply("cause", spec, nil)
	const (
		nginx     = "foobar-app-cause-nginx.service"
		config    = "/etc/foobar/app-server/cause/nginx.conf"
		unitFile  = "/etc/systemd/system/foobar-app-cause@blue.service"
		variables = "/etc/foobar/app-server/cause/blue.env"
	)
	sh := func(script string) {
		t.Helper()
		if output, err := exec.CommandContext(context.Background(), "sh", "-ec", script).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, output)
		}
	}
	expect := func(key, detail string, impact api.Impact) {
		t.Helper()
		c, _ := s.get("cause")
		if len(c.Drift) != 1 || !strings.Contains(c.Drift[key].Detail, detail) {
			t.Errorf("the drift is %v, want %q of %s", c.Drift, detail, key)
		}
		plan, err := s.runner.Plan(context.Background(), c.ID, c.Generation, api.Write{Spec: api.Encode(spec)})
		if err != nil || plan.Impact != impact {
			t.Errorf("%s: the plan is %+v, %v; want %s", key, plan, err, impact)
		}
		before := [2]int{s.pid(s.live("cause")), s.pid(nginx)}
		s.apply("cause", spec, nil)
		if after := [2]int{s.pid(s.live("cause")), s.pid(nginx)}; impact == api.ImpactNone && before[0] != 0 && after != before {
			t.Errorf("%s: processes %v became %v for a repair that costs nothing", key, before, after)
		}
		s.serves("cause", "http://127.0.0.1:8081/")
		if c, _ := s.get("cause"); len(c.Drift) > 0 {
			t.Errorf("%s: after the repair there is drift %v", key, c.Drift)
		}
	}
	for _, path := range []string{config, unitFile, variables} {
		sh("chmod 0666 " + path)
		expect(path, "its mode is 0666", api.ImpactNone)
		sh("chown nobody " + path)
		expect(path, "its owner is nobody:root, not root:root", api.ImpactNone)
	}
	sh("chmod 0700 /srv/cause")
	expect("/srv/cause", "its mode is 0700", api.ImpactNone)
	sh("chgrp 65533 /srv/cause/slots")
	expect("/srv/cause/slots", "its owner is root:65533, not root:app-cause", api.ImpactNone)

	sh("rm " + config + "; ln -s /etc/hosts " + config)
	expect(config, "is a link to /etc/hosts, not a file", api.ImpactReload)
	sh("touch -d @2000000000 " + unitFile)
	expect(s.live("cause"), "systemd has not read it since", api.ImpactNone)
	sh("sed -i '/^app-cause:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow")
	expect("user app-cause", `the user "app-cause", or its group, does not exist on this machine`, api.ImpactRestart)
	sh("sed -i '/^app-cause:/d' /etc/group /etc/gshadow")
	expect("user app-cause", "or its group, does not exist", api.ImpactRestart)
	sh("systemctl stop " + s.live("cause"))
	expect(s.live("cause"), "is stopped", api.ImpactRestart)

	// What amends the units of this app server is drift, wherever systemd reads it.
	sh("systemctl set-property --runtime " + s.live("cause") + " CPUWeight=77")
	expect(s.live("cause"), "is changed by /run/systemd/system.control/"+s.live("cause")+".d/50-CPUWeight.conf", api.ImpactRelease)
	sh("systemctl set-property " + nginx + " TasksMax=77")
	expect(nginx, "is changed by /etc/systemd/system.control/"+nginx+".d/50-TasksMax.conf", api.ImpactRestart)
	const prefix = "/etc/systemd/system/foobar-app-cause-.service.d"
	sh("mkdir -p " + prefix + "; printf '[Service]\\nNice=5\\n' >" + prefix + "/nice.conf; systemctl daemon-reload; systemctl restart " + nginx)
	expect(nginx, "is changed by "+prefix+"/nice.conf", api.ImpactRestart)
	// In the free slot it waits for the next release there, which starts without it.
	sh("systemctl set-property " + s.live("cause") + " CPUWeight=77")
	waiting := "/etc/systemd/system.control/" + s.live("cause") + ".d"
	sh("mv " + waiting + " /root/waiting; systemctl daemon-reload")
	left := s.live("cause")
	spec.RestartTrigger = "to the other slot"
	s.apply("cause", spec, nil)
	sh("mv /root/waiting " + waiting)
	if c, _ := s.get("cause"); len(c.Drift) > 0 {
		t.Errorf("of a unit that is in the free slot there is drift %v", c.Drift)
	}
	spec.RestartTrigger = "and back"
	s.apply("cause", spec, nil)
	if _, err := os.Stat(waiting + "/50-CPUWeight.conf"); s.live("cause") != left || !os.IsNotExist(err) {
		t.Errorf("%s is live, not %s, and what amends that: %v", s.live("cause"), left, err)
	}
	output, err := exec.CommandContext(context.Background(), "systemctl", "show", "-P", "CPUWeight", left).Output()
	if err != nil || strings.TrimSpace(string(output)) != "50" {
		t.Errorf("the release has the weight %s, %v", output, err)
	}

	for _, damage := range []struct{ damage, repair, key, detail string }{
		{"rm " + config + "; mkdir -p " + config + "/x", "mv " + config + " /root/away; rm -r /root/away", config, "is a directory, not a file; an apply does not remove"},
		{"mv /etc/foobar/app-server/cause /root/away; ln -s /root/away /etc/foobar/app-server/cause", "rm /etc/foobar/app-server/cause; mv /root/away /etc/foobar/app-server/cause; echo >>" + config,
			"/etc/foobar/app-server/cause", "is a link to /root/away, not a directory; an apply does not remove it"},
	} {
		sh(damage.damage)
		c, _ := s.get("cause")
		if !strings.Contains(c.Drift[damage.key].Detail, damage.detail) {
			t.Errorf("the drift is %v, want %q of %s", c.Drift, damage.detail, damage.key)
		}
		_, err := s.runner.Plan(context.Background(), c.ID, c.Generation, api.Write{Spec: api.Encode(spec)})
		if !api.IsProblem(err, api.ProblemEngineRefused) || !strings.Contains(err.Error(), "move "+damage.key+" away") {
			t.Errorf("the plan: %v", err)
		}
		sh(damage.repair)
		s.apply("cause", spec, nil)
		s.serves("cause", "http://127.0.0.1:8081/")
	}
	sh("echo '# edited' >>" + config)
	setImmutable(t, config, true)
	c, _ := s.get("cause")
	_, err = s.runner.Plan(context.Background(), c.ID, c.Generation, api.Write{Spec: api.Encode(spec)})
	setImmutable(t, config, false)
	if !strings.Contains(c.Drift[config].Detail, "is immutable") || err == nil || !strings.Contains(err.Error(), "run chattr -i -a "+config) {
		t.Errorf("of an immutable file the drift is %v, the plan %v", c.Drift, err)
	}
	s.apply("cause", spec, nil)
}

// setImmutable is chattr +i, or -i, on a file; the image does not have that program.
func setImmutable(t *testing.T, path string, immutable bool) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	flags := 0
	if immutable {
		flags = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
	}
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
		t.Fatalf("make %s immutable (%t): %v", path, immutable, err)
	}
}
