package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// imageFile describes the image.
const imageFile = "usr/lib/foobar/image.json"

// ReadFacts reads what is known of the machine from its file system, rooted at
// root. An image without a name, or with a damaged one, has an empty ImageID.
func ReadFacts(root fs.FS, version string) (Facts, error) {
	facts := Facts{Version: version}
	facts.ImageID, facts.ImageDamage = imageID(root)
	id, err := fs.ReadFile(root, "proc/sys/kernel/random/boot_id")
	if err != nil {
		return facts, fmt.Errorf("read the boot's id: %w", err)
	}
	facts.BootID = string(bytes.TrimSpace(id))
	if facts.BootedAt, err = bootedAt(root); err != nil {
		return facts, fmt.Errorf("read when the machine was booted: %w", err)
	}
	return facts, nil
}

// imageID returns the version in the image's manifest, "" if it has none.
func imageID(root fs.FS) (string, error) {
	data, err := fs.ReadFile(root, imageFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var manifest struct {
		Version string `json:"version"`
	}
	err = json.Unmarshal(data, &manifest)
	return manifest.Version, err
}

// Conditions tells what of the facts cannot be read.
func (f Facts) Conditions() []api.Condition {
	if f.ImageDamage == nil {
		return nil
	}
	return []api.Condition{{
		Type: "ImageUnknown", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("Which image the machine was made from is not known: /%s is damaged: %v. Nothing else depends on it. Restore the file from the image, or rebuild the machine.",
			imageFile, f.ImageDamage),
	}}
}

// ticks is how many a second of /proc/1/stat has: USER_HZ, which is 100 for
// every architecture that Go and Debian share (proc_pid_stat(5)).
const ticks = 100

// bootedAt returns when PID 1 was started. That is the boot also of a machine
// that shares its host's kernel.
func bootedAt(root fs.FS) (time.Time, error) {
	stat, err := fs.ReadFile(root, "proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	_, rest, _ := strings.Cut(string(stat), "\nbtime ")
	kernel, err := strconv.ParseInt(strings.SplitN(rest, "\n", 2)[0], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("proc/stat has no boot time: %w", err)
	}
	one, err := fs.ReadFile(root, "proc/1/stat")
	if err != nil {
		return time.Time{}, err
	}
	// The second field is a name in parentheses and may hold anything; the
	// start time is field 22, the 20th after it.
	fields := strings.Fields(string(one[bytes.LastIndexByte(one, ')')+1:]))
	const start = 19
	if len(fields) <= start {
		return time.Time{}, errors.New("proc/1/stat is cut off")
	}
	began, err := strconv.ParseInt(fields[start], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("proc/1/stat has no start time: %w", err)
	}
	return time.Unix(kernel+began/ticks, 0).UTC(), nil
}
