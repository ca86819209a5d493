package lab

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Config says where a lab lives and what it is made of. Labs of different names
// run beside each other on one host without seeing each other.
type Config struct {
	// Name tells labs apart; FOOBAR_LAB_NAME, default "demo".
	Name string
	// Deployment is the deployment that the machines' bootstrap documents name.
	Deployment string
	// CacheDir holds root filesystems by the hash of what went in;
	// FOOBAR_LAB_CACHE, default /var/cache/foobar-lab.
	CacheDir string
	// StateDir holds the seed and the machines' disks; a directory per lab
	// below FOOBAR_LAB_STATE, default /var/lib/foobar-lab.
	StateDir string
	// RunDir holds what ends with the lab; a directory per lab below
	// FOOBAR_LAB_RUN, default /run/foobar-lab.
	RunDir string
	// ImagesDir has provision/ and files/; FOOBAR_LAB_IMAGES, default
	// ../images from the program.
	ImagesDir string
	// Agent is the path of the agent's binary; FOOBAR_LAB_AGENT, default
	// foobar-agent beside the program. Empty: machines without an agent.
	Agent string
	// Mirror is the URL that Debian's packages come from, and maybe a second one
	// of its security updates; FOOBAR_LAB_MIRROR. Empty: those of the host's apt.
	Mirror string
	// Self is the path of this program, which runs itself as supervisor.
	Self string
}

var labName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,15}$`)

// NewConfig reads the configuration from the environment. self is the path of
// the running program.
func NewConfig(getenv func(string) string, self string) (Config, error) {
	or := func(key, fallback string) string {
		if value := getenv(key); value != "" {
			return value
		}
		return fallback
	}
	name := or("FOOBAR_LAB_NAME", "demo")
	if !labName.MatchString(name) {
		return Config{}, fmt.Errorf("FOOBAR_LAB_NAME is %q: want a lower-case letter followed by at most 15 letters, digits or dashes", name)
	}
	bin := filepath.Dir(self)
	c := Config{
		Name:       name,
		Deployment: "demo",
		CacheDir:   or("FOOBAR_LAB_CACHE", "/var/cache/foobar-lab"),
		StateDir:   filepath.Join(or("FOOBAR_LAB_STATE", "/var/lib/foobar-lab"), name),
		RunDir:     filepath.Join(or("FOOBAR_LAB_RUN", "/run/foobar-lab"), name),
		ImagesDir:  or("FOOBAR_LAB_IMAGES", filepath.Join(bin, "..", "images")),
		Agent:      or("FOOBAR_LAB_AGENT", filepath.Join(bin, "foobar-agent")),
		Mirror:     getenv("FOOBAR_LAB_MIRROR"),
		Self:       self,
	}
	for _, path := range []*string{&c.CacheDir, &c.StateDir, &c.RunDir, &c.ImagesDir, &c.Agent} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return Config{}, fmt.Errorf("resolve %s: %w", *path, err)
		}
		*path = abs
	}
	return c, nil
}

// environ returns the environment of the lab's own processes: it makes them read
// this same configuration, and has neither the seed, which they read where it
// is kept, nor a notify socket that is the caller's.
func (c Config) environ(host []string) []string {
	env := slices.DeleteFunc(slices.Clone(host), func(entry string) bool {
		return strings.HasPrefix(entry, "FOOBAR_") || strings.HasPrefix(entry, "NOTIFY_SOCKET=")
	})
	return append(env,
		"FOOBAR_LAB_NAME="+c.Name,
		"FOOBAR_LAB_CACHE="+c.CacheDir,
		"FOOBAR_LAB_STATE="+filepath.Dir(c.StateDir),
		"FOOBAR_LAB_RUN="+filepath.Dir(c.RunDir),
		"FOOBAR_LAB_IMAGES="+c.ImagesDir,
		"FOOBAR_LAB_AGENT="+c.Agent,
		"FOOBAR_LAB_MIRROR="+c.Mirror,
	)
}

// SeedPath is the file that holds the lab's CA seed.
func (c Config) SeedPath() string { return filepath.Join(c.StateDir, "seed") }

func (c Config) logPath() string               { return filepath.Join(c.StateDir, "lab.log") }
func (c Config) lockPath() string              { return filepath.Join(c.StateDir, "lock") }
func (c Config) machinesDir() string           { return filepath.Join(c.StateDir, "machines") }
func (c Config) machineDir(name string) string { return filepath.Join(c.machinesDir(), name) }
func (c Config) consoleLog(name string) string {
	return filepath.Join(c.machineDir(name), "console.log")
}
func (c Config) bootstrapPath(name string) string {
	return filepath.Join(c.machineDir(name), "bootstrap.json")
}
func (c Config) cutsPath() string              { return filepath.Join(c.RunDir, "cuts.json") }
func (c Config) wiredPath() string             { return filepath.Join(c.RunDir, "wired") }
func (c Config) siteDir(s site) string         { return filepath.Join(c.RunDir, string(s)) }
func (c Config) notifyPath(name string) string { return filepath.Join(c.RunDir, name+".notify") }
