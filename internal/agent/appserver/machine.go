package appserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/artifact"
)

// machine reads the machine's files; it writes none.
type machine struct{ root string }

func (m machine) path(path string) string { return filepath.Join("/", m.root, path) }

func (m machine) exists(path string) bool {
	_, err := os.Lstat(m.path(path))
	return err == nil
}

// workingDirectory returns where a process was started, "" if that cannot be determined.
func (m machine) workingDirectory(pid int) string {
	target, err := os.Readlink(m.path(filepath.Join("/proc", strconv.Itoa(pid), "cwd")))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(target, " (deleted)") // as Linux marks what was removed since
}

// revision returns as of which apply a process was started, "" if that cannot
// be determined: a program may write over its own environment.
func (m machine) revision(pid int) string {
	content, err := os.ReadFile(m.path(filepath.Join("/proc", strconv.Itoa(pid), "environ")))
	if err != nil {
		return ""
	}
	for variable := range strings.SplitSeq(string(content), "\x00") {
		if value, ok := strings.CutPrefix(variable, revisionVariable+"="); ok {
			return value
		}
	}
	return ""
}

// closedToGroup says why the group of an app cannot connect to its socket, "" if it can
// or if that cannot be determined. Of what may be a link nothing is followed.
func (m machine) closedToGroup(socket string) string {
	for _, part := range []struct {
		path   string
		needed fs.FileMode
		remedy string
	}{
		{filepath.Dir(socket), 0o010, "leave the mode of that directory as systemd sets it (0750)"},
		{socket, 0o020, "make it writable for the group (umask 007)"},
	} {
		info, err := os.Lstat(m.path(part.path))
		if err == nil && info.Mode().Perm()&part.needed == 0 {
			return fmt.Sprintf("the mode of %s is %04o; %s", part.path, info.Mode().Perm(), part.remedy)
		}
	}
	return ""
}

// insteadOfSocket returns what stands where an app's socket should, "" if that is a
// socket or nothing.
func (m machine) insteadOfSocket(path string) string {
	info, err := os.Lstat(m.path(path))
	if err != nil {
		return ""
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSocket != 0:
		return ""
	case mode&fs.ModeSymlink != 0:
		return aLink
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	}
	return "a file"
}

// aLink is a symbolic link in words.
const aLink = "a link"

// secrets returns the values that an app server's slot was given.
func (m machine) secrets(l layout, slot string) (map[string]string, error) {
	content, err := os.ReadFile(m.path(l.secrets(slot)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the app's secrets: %w", err)
	}
	return parseEnvironment(content)
}

// searchPath is where systemd looks for a program without a slash: its own
// compiled-in path on Debian, where /bin and /sbin are links into /usr.
func searchPath() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}
}

// checkProgram tells why a command's program cannot be run; release is where
// the release stands. The error is an [api.Problem].
func (m machine) checkProgram(program, release string) error {
	found, detail := program, ""
	switch {
	case filepath.IsAbs(program):
		detail = m.notRunnable(program)
	case strings.Contains(program, "/"):
		found = filepath.Join(release, program)
		if detail = m.notRunnable(found); detail == absent {
			detail += m.instead(release)
		}
	default:
		found, detail = m.lookUp(program, release)
	}
	if detail == "" {
		detail = m.lacksInterpreter(found)
	}
	if detail == "" {
		return nil
	}
	return &api.Problem{
		Type: api.ProblemEngineRefused, Title: "The command cannot be run",
		Violations: api.Violations{{Pointer: "/command/0", Detail: fmt.Sprintf("%q %s", program, detail)}},
	}
}

// absent is why a program cannot be run that is not there.
const absent = "does not exist"

// instead says how the programs of a release are named.
func (m machine) instead(release string) string {
	if m.oneProgram(release) {
		return "; this release is one program, and that is called ./" + artifact.Program
	}
	return "; paths in a command start in the release's top directory, which " + listing
}

// listing shows what is in the top directory of an artifact.
const listing = "tar -tf shows"

// oneProgram reports whether a release was made of a program by itself.
func (m machine) oneProgram(release string) bool {
	entries, err := os.ReadDir(m.path(release))
	return err == nil && len(entries) == 1 && entries[0].Name() == artifact.Program && entries[0].Type().IsRegular()
}

// ofReleaseLike returns the path by which a command names the program of a release
// that a bare name may mean.
func (m machine) ofReleaseLike(program, release string) string {
	if m.oneProgram(release) {
		return "./" + artifact.Program
	}
	for _, dir := range []string{"", "bin", ".venv/bin", "venv/bin"} {
		if at := filepath.Join(dir, program); m.exists(filepath.Join(release, at)) {
			return "./" + at
		}
	}
	return "./" + program
}

func (m machine) lookUp(program, release string) (found, detail string) {
	for _, dir := range searchPath() {
		candidate := filepath.Join(dir, program)
		if m.notRunnable(candidate) == "" {
			return candidate, ""
		}
	}
	return "", fmt.Sprintf(`is no program of this machine (looked in %s); for a program of the release, write its path, %q`,
		strings.Join(searchPath(), ", "), m.ofReleaseLike(program, release))
}

// notRunnable says why a file is no program, "" if it is one.
func (m machine) notRunnable(path string) string {
	info, err := os.Stat(m.path(path))
	if target := m.missingTarget(path); target != "" && errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("is a link to %s, which is not on this machine", target)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent
	case err != nil:
		return "cannot be looked at: " + err.Error()
	case !info.Mode().IsRegular():
		return "is not a regular file; name the program itself"
	case info.Mode().Perm()&0o111 == 0:
		return "is not executable; set its mode with chmod +x before the release is packed"
	}
	return ""
}

// missingTarget returns where the last link that path leads over points to,
// "" if path is no link. A virtual environment has such a link to its Python.
func (m machine) missingTarget(path string) string {
	target := ""
	for range 40 { // as many links as Linux follows
		next, err := os.Readlink(m.path(path))
		if err != nil {
			break
		}
		target = next
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return target
}

// lacksInterpreter says which interpreter a script asks for in vain. Virtual
// environments of another machine are the usual reason.
func (m machine) lacksInterpreter(path string) string {
	head, err := m.head(path)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	const longest = 256 // BINPRM_BUF_SIZE of Linux: what it reads of a script
	line, _, _ := strings.Cut(string(head[:min(len(head), longest)]), "\n")
	interpreter, isScript := strings.CutPrefix(line, "#!")
	words := strings.FieldsFunc(interpreter, func(r rune) bool { return strings.ContainsRune(" \t\n", r) }) // as Linux splits them
	switch {
	case !isScript || len(words) == 0:
		return ""
	case strings.HasSuffix(words[0], "\r") || words[0] == "/usr/bin/env" && strings.HasSuffix(words[len(words)-1], "\r"):
		return fmt.Sprintf("is a script whose first line ends in CR LF, as on Windows: Linux looks for %q, which is not there; save it with line ends of LF, as dos2unix does", words[len(words)-1])
	case !m.exists(words[0]):
		return fmt.Sprintf("is a script for %s, which is not on this machine", words[0])
	}
	return ""
}
