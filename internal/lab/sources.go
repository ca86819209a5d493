package lab

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Where apt keeps its package sources.
const (
	sourcesList = "etc/apt/sources.list"
	sourcesDir  = "etc/apt/sources.list.d"
)

// mirrors are where Debian's packages come from.
type mirrors struct {
	// archive has the suites trixie and trixie-updates, security trixie-security;
	// security is empty if it is not known.
	archive, security string
}

// sources returns the mirrors as apt's configuration of an image. An image keeps
// the sources that it was built with.
func (m mirrors) sources() string {
	stanza := func(uri, suites string) string {
		return fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n", uri, suites, keyring)
	}
	text := stanza(m.archive, suite+" "+suite+"-updates")
	if m.security != "" {
		text += "\n" + stanza(m.security, suite+"-security")
	}
	return text
}

// findMirrors returns the mirrors that given names, the value of
// FOOBAR_LAB_MIRROR: that of the archive and maybe that of the security updates.
// What it leaves out comes from the host's own package sources, which are read
// below host.
func findMirrors(host fs.FS, given string) (mirrors, error) {
	var m mirrors
	for i, uri := range strings.Fields(given) {
		switch reason := unusable(uri); {
		case reason != "":
			return mirrors{}, fmt.Errorf("FOOBAR_LAB_MIRROR: %s; write the URL of a mirror of Debian, and maybe a second one of its security updates", reason)
		case i == 0:
			m.archive = uri
		case i == 1:
			m.security = uri
		default:
			return mirrors{}, fmt.Errorf("FOOBAR_LAB_MIRROR names %d URLs: at most two are allowed, that of the archive and that of the security updates", i+1)
		}
	}
	if m.archive != "" && m.security != "" {
		return m, nil
	}
	entries, err := readSources(host)
	if err != nil && m.archive == "" {
		return mirrors{}, err
	}
	archive, security, passedOver := choose(entries)
	if m.archive == "" {
		m.archive = archive
	}
	if m.security == "" {
		m.security = security
	}
	if m.archive == "" {
		return mirrors{}, fmt.Errorf("no mirror of Debian is found in /%s and /%s of this host%s; set FOOBAR_LAB_MIRROR to the URL of one", sourcesList, sourcesDir, passedOver)
	}
	return m, nil
}

// entry is one package source of the host.
type entry struct {
	uri, suite string
	components []string
	// signedBy names the keys that the source is signed with, "" for apt's own.
	signedBy string
}

// readSources returns the package sources of a host.
func readSources(host fs.FS) ([]entry, error) {
	paths := []string{sourcesList}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := fs.Glob(host, sourcesDir+"/"+pattern)
		if err != nil {
			return nil, fmt.Errorf("list the package sources of this host: %w", err)
		}
		paths = append(paths, found...)
	}
	var all []entry
	for _, name := range paths {
		text, err := fs.ReadFile(host, name)
		if err != nil {
			continue // not every host has each, and what apt cannot read it does not use
		}
		entries := parseList(string(text))
		if path.Ext(name) == ".sources" {
			entries = parseDeb822(string(text))
		}
		for _, e := range entries {
			all = append(all, resolve(host, e)...)
		}
	}
	return all, nil
}

// parseList reads the one-line format: "deb [option=value …] URI suite component…".
func parseList(text string) []entry {
	var all []entry
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, isDeb := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !isDeb || strings.TrimLeft(rest, " \t[") == rest { // deb-src, or empty
			continue
		}
		var e entry
		rest = strings.TrimSpace(rest)
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(rest, "[") {
			rest = after
			for _, option := range strings.Fields(options[1:]) {
				if name, value, _ := strings.Cut(option, "="); strings.EqualFold(name, "signed-by") {
					e.signedBy = value
				}
			}
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 {
			continue // a flat repository has no components
		}
		e.uri, e.suite, e.components = fields[0], fields[1], fields[2:]
		all = append(all, e)
	}
	return all
}

// parseDeb822 reads the format of .sources files: stanzas of fields.
func parseDeb822(text string) []entry {
	var all []entry
	fields, last := map[string]string{}, ""
	end := func() {
		if slices.Contains(strings.Fields(fields["types"]), "deb") && !strings.EqualFold(fields["enabled"], "no") {
			for _, uri := range strings.Fields(fields["uris"]) {
				for _, name := range strings.Fields(fields["suites"]) {
					all = append(all, entry{uri: uri, suite: name, components: strings.Fields(fields["components"]), signedBy: fields["signed-by"]})
				}
			}
		}
		fields, last = map[string]string{}, ""
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, len(text)+1)
	for lines.Scan() {
		line := lines.Text()
		switch name, value, isField := strings.Cut(line, ":"); {
		case strings.TrimSpace(line) == "":
			end()
		case strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += " " + strings.TrimSpace(line)
		case isField:
			last = strings.ToLower(strings.TrimSpace(name))
			fields[last] = strings.TrimSpace(value)
		}
	}
	end()
	return all
}

// resolve returns an entry whose URI is a list of mirrors on the host, as cloud
// images have it, once for each mirror of the list.
func resolve(host fs.FS, e entry) []entry {
	list, isList := strings.CutPrefix(e.uri, "mirror+file:")
	if !isList {
		return []entry{e}
	}
	text, err := fs.ReadFile(host, strings.TrimLeft(list, "/"))
	if err != nil {
		return []entry{e} // which is passed over, and reported
	}
	var all []entry
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			one := e
			one.uri = fields[0]
			all = append(all, one)
		}
	}
	return all
}

// releases are the names that sources of a Debian have that the lab runs on.
func releases() []string { return []string{"bookworm", "trixie", "oldstable", "stable"} }

// choose returns the first mirror of Debian's archive and of its security updates
// among a host's package sources, and what was passed over, for an error. A source
// that others sign is not Debian's, whatever its suite is called; one that has the
// suite's updates too is preferred.
func choose(entries []entry) (archive, security, passedOver string) {
	var archives, updated []string
	var reasons []string
	for _, e := range entries {
		name, kind, _ := strings.Cut(e.suite, "-")
		if !slices.Contains(releases(), name) || !slices.Contains(e.components, "main") || e.signedBy != "" && !strings.Contains(e.signedBy, "debian-archive") {
			continue
		}
		if reason := unusable(e.uri); reason != "" {
			reasons = append(reasons, reason)
			continue
		}
		switch kind {
		case "":
			archives = append(archives, e.uri)
		case "updates":
			updated = append(updated, e.uri)
		case "security":
			if security == "" {
				security = e.uri
			}
		}
	}
	for _, uri := range archives {
		if archive == "" || slices.Contains(updated, uri) && !slices.Contains(updated, archive) {
			archive = uri
		}
	}
	if len(reasons) > 0 {
		passedOver = " that an image can use: " + strings.Join(slices.Compact(reasons), ", ")
	}
	return archive, security, passedOver
}

// unusable says why a URI is no mirror for an image, "" if it is one. The text
// holds no password.
func unusable(uri string) string {
	u, err := url.Parse(uri)
	switch {
	case err != nil || u.Host == "" && (u.Scheme == "http" || u.Scheme == "https"):
		return fmt.Sprintf("%q is not a URL", uri)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Sprintf("%q is not on http or https", u.Redacted())
	case u.User != nil:
		return fmt.Sprintf("%q has a password, which images would carry", u.Redacted())
	}
	return ""
}
