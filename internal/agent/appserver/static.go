package appserver

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// checkStatic tells which static directories a release lacks; release is where
// it stands. nginx would find no file in them. The error is an [api.Problem].
func (m machine) checkStatic(s api.AppServer, release string) error {
	var found api.Violations
	for _, prefix := range slices.Sorted(maps.Keys(s.Static)) {
		directory := s.Static[prefix].Directory
		if detail := m.notServable(release, directory); detail != "" {
			found.Add(api.Pointer("/static").At(prefix).At("directory"), "%q %s", directory, detail)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return &api.Problem{Type: api.ProblemEngineRefused, Title: "The release lacks static files", Violations: found}
}

// notServable says why nginx serves no files of a directory, "" if it does.
func (m machine) notServable(release, directory string) string {
	at := release
	for name := range strings.SplitSeq(directory, "/") {
		at = filepath.Join(at, name)
		info, err := os.Lstat(m.path(at))
		switch {
		case err != nil:
			return "is not in the release; paths of static directories start in its top directory, which " + listing
		case info.Mode().Type() == fs.ModeSymlink:
			return "leads over the link " + name + ", and nginx follows no links in a release; name the directory itself"
		case !info.IsDir():
			return "is not a directory; name the directory that the files are in"
		}
	}
	return ""
}

// lacksIndex says that the directory at a URL's path has no page, "" if it has or the
// path is none of a directory. The longest prefix counts, as with nginx.
func (m machine) lacksIndex(static map[string]api.StaticDirectory, release, path string) string {
	prefix := "/"
	for other := range static {
		if strings.HasPrefix(path, other) && len(other) > len(prefix) {
			prefix = other
		}
	}
	index := filepath.Join(release, static[prefix].Directory, strings.TrimPrefix(path, prefix), "index.html")
	if !strings.HasSuffix(path, "/") || m.exists(index) {
		return ""
	}
	return fmt.Sprintf("there is no index.html in the directory of %q; add one, or set health_check.path to a file of the site", path)
}
