package dbreplication

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hostsMode is that of /etc/hosts, which every account reads.
const hostsMode = 0o644

// writeHosts has a file such as /etc/hosts resolve the members' names, which
// are in their certificates, and leaves the rest of it alone.
func writeHosts(path, replication string, addresses map[string]string) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the members' names known: %w", err)
	}
	after := withHosts(string(before), replication, addresses)
	if after == string(before) {
		return nil
	}
	if err := replaceFile(path, []byte(after), hostsMode); err != nil {
		return fmt.Errorf("make the members' names known: %w", err)
	}
	return nil
}

// withHosts returns the text with the replication's block at its end, in which
// each name has its address.
func withHosts(text, replication string, addresses map[string]string) string {
	begin, end := "# foobar: members of replication "+replication, "# foobar: end of replication "+replication
	var kept []string
	inside := false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\r\n")
		if inside && (bare == end || isEntry(bare)) {
			inside = bare != end
			continue
		}
		if inside = bare == begin; inside {
			continue
		}
		kept = append(kept, bare)
	}
	if len(addresses) > 0 {
		kept = append(kept, begin)
		for _, name := range slices.Sorted(maps.Keys(addresses)) {
			kept = append(kept, addresses[name]+"\t"+name)
		}
		kept = append(kept, end)
	}
	if len(kept) == 0 {
		return ""
	}
	return strings.Join(kept, "\n") + "\n"
}

// isEntry tells a line that we wrote from one that somebody put where the end
// of our block was.
func isEntry(line string) bool {
	fields := strings.Fields(line)
	return len(fields) == 2 && strings.HasSuffix(fields[1], ".internal")
}
