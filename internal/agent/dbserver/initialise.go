package dbserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

// initialise makes an empty database. It is made beside its place and renamed
// when it is whole and on the disk: a data directory that was begun and not
// finished has another name, so no server can start on it.
func initialise(ctx context.Context, p Paths) error {
	owner, err := foreign.Lookup(account)
	if err != nil {
		return fmt.Errorf("is MariaDB installed on this machine? %w", err)
	}
	staging := p.State + "/init"
	if err := os.RemoveAll(staging); err != nil {
		return fmt.Errorf("remove what an interrupted initialisation left: %w", err)
	}
	if err := foreign.Make(staging, owner, 0o700); err != nil {
		return err
	}
	// The superuser's account is the operating system's root over the socket;
	// it has no password that could be known.
	cmd := owner.Command(ctx, installer, "--no-defaults", "--datadir="+staging, "--skip-test-db", "--skip-name-resolve",
		"--auth-root-authentication-method=socket", "--auth-root-socket-user=root")
	cmd.Dir = p.State
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("make an empty database with mariadb-install-db: %w: %s", err, lastLine(string(output)))
	}
	return publish(staging, p.Data)
}

// makeState makes the directory that the data are made in and swapped in, which
// belongs to root. One that an operator has given to the engine's account, as it
// comes of a restored backup, is taken back.
func makeState(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // the parent of private directories
		return fmt.Errorf("make the place of the data directory: %w", err)
	}
	if err := foreign.Make(dir, foreign.Root(), 0o755); err != nil {
		return fmt.Errorf("make the place of the data directory: %w", err)
	}
	return nil
}

// publish gives a whole data directory its name, once all of it is on the disk.
func publish(staging, data string) error {
	dir, err := os.Open(filepath.Dir(data))
	if err != nil {
		return fmt.Errorf("open the place of the data directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := unix.Syncfs(int(dir.Fd())); err != nil { //nolint:gosec // a descriptor is small
		return fmt.Errorf("write the new data directory to the disk: %w", err)
	}
	if err := unix.Renameat2(unix.AT_FDCWD, staging, unix.AT_FDCWD, data, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("put the new data directory into its place: %w", err)
	}
	return dir.Sync()
}

// exists reports whether there is a data directory, whoever made it.
func exists(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for the data directory: %w", err)
	case !info.IsDir():
		return false, fmt.Errorf("%s is no directory; move it away", path)
	}
	return true, nil
}

// lastLine returns the line of an output that tells what went wrong: the first
// error, else the last line.
func lastLine(output string) string {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	for _, row := range lines {
		if strings.Contains(row, "ERROR") {
			return strings.TrimSpace(row)
		}
	}
	return lines[len(lines)-1]
}
