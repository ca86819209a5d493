package appserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/checker"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// What nginx 1.26.3 prints.
func TestNginxRefusals(t *testing.T) {
	sources := map[int]api.Pointer{12: "/trusted_proxies/0"}
	for output, want := range map[string][]api.Violation{
		"": nil,
		"nginx: configuration file /tmp/x/nginx.conf test failed\n": nil,
		"2026/01/02 03:04:05 [emerg] 7#7: invalid network \"x\" in /tmp/x/nginx.conf:12\nnginx: configuration file /tmp/x/nginx.conf test failed\n": {
			{Pointer: "/trusted_proxies/0", Detail: `invalid network "x"`},
		},
		"nginx: [emerg] unknown directive \"foo\" in /tmp/x/nginx.conf:3": {{Detail: `unknown directive "foo"`}},
		"[emerg] 7#7: bind() to 10.9.9.9:80 failed (99: Cannot assign requested address)": {
			{Pointer: "/address", Detail: "nginx cannot listen on 10.9.9.9:80: the machine has no such address"},
		},
		"[emerg] 7#7: bind() to 0.0.0.0:80 failed (13: Permission denied)\n[emerg] 7#7: bind() to 0.0.0.0:80 failed (13: Permission denied)": {
			{Pointer: "/port", Detail: "nginx cannot listen on 0.0.0.0:80: Permission denied"},
		},
		"[emerg] 7#7: socket() [::]:80 failed (97: Address family not supported by protocol)": {
			{Pointer: "/address", Detail: `nginx cannot listen on [::]:80: the machine has IPv6 switched off; use "0.0.0.0"`},
		},
		"[warn] 7#7: conflicting server name in /tmp/x/nginx.conf:12": nil,
	} {
		if got := nginxRefusals(output, sources); !slices.Equal(got, want) {
			t.Errorf("%q\nbecame %v\nwant   %v", output, got, want)
		}
	}
}

func FuzzNginxRefusals(f *testing.F) {
	f.Add("[emerg] 1#1: bind() to x failed (99: y)")
	f.Add("nginx: [alert] z in /a/b:99999999999999999999")
	f.Fuzz(func(t *testing.T, output string) {
		for _, v := range nginxRefusals(output, nil) {
			if strings.Contains(v.Detail, "\n") {
				t.Errorf("%q became several lines: %q", output, v.Detail)
			}
		}
	})
}

func TestCheckLeavesTheLiveOneAlone(t *testing.T) {
	v := render(t, "notes", specs()["socket"])
	f := newFake(t, v)
	staged, err := converge.Stage(t.TempDir(), "notes", v)
	if err != nil {
		t.Fatal(err)
	}
	k := f.kind()
	var refusal error = &checker.Refusal{Status: 1}
	k.nginx = func(_ context.Context, config []byte) (string, error) {
		original := v.State.File("/etc/foobar/app-server/notes/nginx.conf").Content
		if strings.Count(string(config), "\n") != strings.Count(string(original), "\n") {
			t.Error("the copy has other lines")
		}
		for _, live := range []string{"/run/foobar-app-notes-nginx", "/var/tmp"} {
			if strings.Contains(string(config), live) {
				t.Errorf("the test would touch %s", live)
			}
		}
		if refusal == nil {
			return "", nil
		}
		return "[emerg] 7#7: no good in " + checker.ConfigPath + ":6\n", refusal
	}
	err = k.Check(t.Context(), staged)
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok || problem.Type != api.ProblemEngineRefused || strings.Contains(err.Error(), checker.ConfigPath) {
		t.Errorf("a refusal: %v", err)
	}
	if want := (api.Violation{Pointer: "/drain_timeout", Detail: "no good"}); !ok || problem.Violations[0] != want {
		t.Errorf("violations %v, want %v", problem, want)
	}
	refusal = nil
	if err := k.Check(t.Context(), staged); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if len(f.calls) > 0 {
		t.Errorf("a check did %q", f.calls)
	}
}

func TestCheckProgram(t *testing.T) {
	f := newFake(t, render(t, "notes", someSpec()))
	const release = "/srv/notes/releases/0123456789ab"
	f.write(release+"/bin/app", "\x7fELF", 0o755)
	f.write(release+"/bin/script", "#! /usr/bin/python3 -u\n", 0o755)
	f.write(release+"/bin/venv", "#!/home/me/venv/bin/python\n", 0o755)
	f.write(release+"/bin/plain", "#!/bin/sh\n", 0o644)
	f.write(release+"/bin/empty", "", 0o755)
	f.write(release+"/bin/windows2", "#!/bin/sh\r\nx", 0o755)
	f.write(release+"/bin/windows3", "#!/usr/bin/env python3\r\nx", 0o755)
	f.write(release+"/bin/unix", "#!/usr/bin/python3\n#\r\n", 0o755)
	f.write(release+"/main.py", "#!/usr/bin/python3\n", 0o755)
	const single = "/srv/notes/releases/single"
	f.write(single+"/app", "\x7fELF", 0o755)
	for link, target := range map[string]string{"python": "python3", "python3": "/usr/bin/python3.99"} {
		if err := os.Symlink(target, filepath.Join(f.root, release, "bin", link)); err != nil {
			t.Fatal(err)
		}
	}
	for program, want := range map[string]string{
		"./bin/python": "is a link to /usr/bin/python3.99, which is not on this machine",
		"python3":      "", "/usr/bin/python3": "", "./bin/app": "", "bin/app": "", "./bin/script": "", "./bin/empty": "",
		"python9":        `is no program of this machine (looked in /usr/local/sbin, /usr/local/bin, /usr/sbin, /usr/bin); for a program of the release, write its path, "./python9"`,
		"./app":          "does not exist; paths in a command start in the release's top directory, which tar -tf shows",
		"/usr/bin/x":     "does not exist",
		"main.py":        `write its path, "./main.py"`,
		"venv":           `write its path, "./bin/venv"`,
		"./bin/unix":     "",
		"./bin/windows2": `is a script whose first line ends in CR LF, as on Windows: Linux looks for "/bin/sh\r", which is not there`,
		"./bin/windows3": `Linux looks for "python3\r"`,
		"./bin":          "is not a regular file",
		"./bin/plain":    "is not executable",
		"./bin/venv":     "is a script for /home/me/venv/bin/python, which is not on this machine",
		"./bin/app/no":   "cannot be looked at",
	} {
		err := f.kind().machine.checkProgram(program, release)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
	for program, want := range map[string]string{
		"./gocount": "does not exist; this release is one program, and that is called ./app",
		"gocount":   `write its path, "./app"`,
	} {
		if err := f.kind().machine.checkProgram(program, single); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "tar") {
			t.Errorf("%s: %v, want %q", program, err, want)
		}
	}
}
