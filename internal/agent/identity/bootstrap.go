package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Bootstrap is a machine's bootstrap and where it was found.
type Bootstrap struct {
	api.Bootstrap
	// Path is the file that is removed once the machine is enrolled; empty
	// for a systemd credential, which is not the agent's to remove.
	Path string
}

// maxBootstrap bounds what is read, in bytes; a bootstrap has some hundred.
const maxBootstrap = 1 << 20

// ReadBootstrap reads the machine's bootstrap: the credential in the directory
// credentials, if that is given and has it, else the file at path. There may
// be none, which is nil without an error. Every error is one line.
func ReadBootstrap(credentials, path string) (*Bootstrap, error) {
	if credentials != "" {
		// systemd guards its directory; the modes in it are systemd's.
		found, err := readBootstrap(filepath.Join(credentials, api.BootstrapCredential), func(fs.FileInfo) error { return nil })
		if found != nil || err != nil {
			return found, err
		}
	}
	found, err := readBootstrap(path, checkPrivate)
	if found != nil {
		found.Path = path
	}
	return found, err
}

// ReadBootstrapFile reads the bootstrap that root names: a file of any mode. Its
// errors are one line.
func ReadBootstrapFile(path string) (api.Bootstrap, error) {
	found, err := readBootstrap(path, checkRegular)
	switch {
	case err != nil:
		return api.Bootstrap{}, err
	case found == nil:
		return api.Bootstrap{}, fmt.Errorf("bootstrap: there is no file %s", path)
	}
	return found.Bootstrap, nil
}

func readBootstrap(path string, check func(fs.FileInfo) error) (*Bootstrap, error) {
	// Without waiting: there may be a pipe in the file's place.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, link := os.Lstat(path); link == nil {
			return nil, fmt.Errorf("bootstrap: %s is a link to nothing", path)
		}
		return nil, nil //nolint:nilnil // there is none, which is no error
	}
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if err := check(info); err != nil {
		return nil, fmt.Errorf("bootstrap: %s %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxBootstrap+1))
	if err != nil {
		return nil, fmt.Errorf("bootstrap: read %s: %w", path, err)
	}
	if len(data) > maxBootstrap {
		return nil, fmt.Errorf("bootstrap: %s is no bootstrap: it has more than %d bytes", path, maxBootstrap)
	}
	parsed, err := api.ParseBootstrap(data)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return &Bootstrap{Bootstrap: parsed}, nil
}

// checkPrivate refuses a file that others than its owner could read: its key
// counts as known then, and a machine must not be enrolled with it.
func checkPrivate(info fs.FileInfo) error {
	if err := checkRegular(info); err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("has mode %04o, so that others than root can read the enrolment key; "+
			"raise the machine's incarnation and write its new bootstrap with mode 0600", mode)
	}
	return nil
}

// checkRegular refuses what has no end, such as a device, and what has to be waited for.
func checkRegular(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("is not a regular file")
	}
	return nil
}
