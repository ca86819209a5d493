package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// keyring has the keys that sign Debian's archive. That of Debian 12 has those of
// Debian 13 too, once it is up to date.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// suiteKeys is present as soon as the keyring knows the suite.
const suiteKeys = "/usr/share/keyrings/debian-archive-" + suite + "-stable.*"

// hostTools lists the programs that the lab runs on the host and the packages
// that have them.
func hostTools() []struct{ program, pkg string } {
	return []struct{ program, pkg string }{
		{"mmdebstrap", "mmdebstrap"},
		{"systemd-nspawn", "systemd-container"},
		{"ip", "iproute2"},
		{"nft", "nftables"},
		{"nsenter", "util-linux"},
		{"curl", "curl"},
	}
}

// missingPackages returns the packages of the host that the lab still needs.
func missingPackages(lookPath func(string) (string, error), glob func(string) ([]string, error)) []string {
	var missing []string
	for _, tool := range hostTools() {
		if _, err := lookPath(tool.program); err != nil {
			missing = append(missing, tool.pkg)
		}
	}
	if keys, err := glob(suiteKeys); err != nil || len(keys) == 0 {
		missing = append(missing, "debian-archive-keyring")
	}
	slices.Sort(missing)
	return missing
}

// PrepareHost installs what the lab needs on a Debian 12 or 13 host and lacks.
func (l *Lab) PrepareHost(ctx context.Context) error {
	packages := missingPackages(exec.LookPath, filepath.Glob)
	if len(packages) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("the host lacks %s and apt-get to install them: the lab runs on Debian 12 and 13", strings.Join(packages, ", "))
	}
	l.log.Info("installing what the lab needs on this host", "packages", packages)
	install := append([]string{"install", "-y", "--no-install-recommends"}, packages...)
	for _, args := range [][]string{{"update"}, install} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w:\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}
