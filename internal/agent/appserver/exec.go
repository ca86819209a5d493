package appserver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// The exit statuses of systemd.exec(5) for what it cannot do before the program begins.
const (
	exitChdir     = 200
	exitExec      = 203
	exitUser      = 217
	exitNamespace = 226
)

// notStarted is the failure of a start. What systemd's exit status means is said at the
// attribute that it comes from.
func (r rollout) notStarted(ctx context.Context, cause error) error {
	err := r.failed(ctx, "The app did not start", cause, r.appUnit())
	problem, isProblem := errors.AsType[*api.Problem](err)
	job, isJob := errors.AsType[*systemd.JobError](cause)
	if isProblem && isJob {
		problem.Violations = r.exitReason(job.ExitStatus)
	}
	return err
}

func (r rollout) exitReason(status int) api.Violations {
	switch program := r.spec.Command[0]; status {
	case exitChdir:
		return api.Violations{{Pointer: "/release", Detail: fmt.Sprintf(
			"the app's user %s cannot enter the release's top directory (systemd: 200/CHDIR); pack it with the mode 0755 and apply again", r.layout.user())}}
	case exitExec:
		return api.Violations{{Pointer: "/command/0", Detail: fmt.Sprintf("%q %s (systemd: 203/EXEC)", program, r.kind.machine.notExecuted(program, r.release()))}}
	case exitUser:
		return api.Violations{{Detail: fmt.Sprintf(
			"the app's user %s cannot be used (systemd: 217/USER): it was removed or changed on the machine; apply again, which makes it", r.layout.user())}}
	case exitNamespace:
		return api.Violations{{Detail: fmt.Sprintf(
			"the sandbox of the app cannot be set up (systemd: 226/NAMESPACE): a drop-in of the unit names a path that is not there, or the machine's kernel or container does not allow it; \"systemctl cat %s\" shows the unit", r.appUnit())}}
	}
	return nil
}

// loaderPattern finds the program that a dynamically linked one is loaded by.
var loaderPattern = regexp.MustCompile(`\x00(/lib[^\x00]*/ld-[^\x00]+)\x00`)

// notExecuted says why Linux does not execute a program that is there and executable.
func (m machine) notExecuted(program, release string) string {
	path := program
	if ofRelease(program) {
		path = filepath.Join(release, program)
	} else if !filepath.IsAbs(program) {
		path, _ = m.lookUp(program, release)
	}
	head, err := m.head(path)
	const elf = "\x7fELF"
	switch {
	case err != nil:
		return "cannot be executed, or read: " + err.Error()
	case len(head) >= 2 && string(head[:2]) == "#!":
		return "is a script whose interpreter cannot be executed; its first line has to name an executable program of this machine, such as #!/usr/bin/env python3"
	case len(head) < elfHeader || string(head[:len(elf)]) != elf:
		return "is neither a program for Linux nor a script: a script begins with a line that names its interpreter, such as #!/usr/bin/env python3"
	}
	if built := architecture(head); built != runtime.GOARCH {
		return fmt.Sprintf("is a program for %s, and this machine is %s; build the release for linux/%s", built, runtime.GOARCH, runtime.GOARCH)
	}
	if loader := loaderPattern.FindSubmatch(head); loader != nil && !m.exists(string(loader[1])) {
		return fmt.Sprintf("needs %s, which is not on this machine (that of Alpine is not on Debian); build it on Debian, or link it statically", loader[1])
	}
	return "cannot be executed by the app's user; the file and each directory above it have to be readable and executable for all, as modes 0755 are"
}

// elfHeader is the size of what is read of an ELF header.
const elfHeader = 20

// head returns the beginning of a file. What is none by the time that it is opened, such
// as a FIFO, is an error and not waited for.
func (m machine) head(path string) ([]byte, error) {
	file, err := os.OpenFile(m.path(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	return io.ReadAll(io.LimitReader(file, 4096))
}

// architecture names what a program was built for, as Go does: the e_machine of elf(5).
func architecture(head []byte) string {
	order := binary.ByteOrder(binary.LittleEndian)
	if head[5] == 2 { // ELFDATA2MSB
		order = binary.BigEndian
	}
	number := order.Uint16(head[18:])
	if name, ok := map[uint16]string{3: "386", 20: "ppc", 21: "ppc64le", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64"}[number]; ok {
		return name
	}
	return fmt.Sprintf("another machine (ELF machine %d)", number)
}
