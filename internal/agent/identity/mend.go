package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Beside the identity an enrolled machine keeps what follows from it: its names,
// and the CAs that the services of its leaves accept. The identity is written
// first and they after it, so that a kill or a full disk in between leaves them
// as they were. mend writes again whatever differs: after each change of the
// identity, at each start, and after a failure until it succeeds.

// mend remembers why it failed, for [Identity.Conditions].
func (id *Identity) mend(s *state) error {
	err := errors.Join(id.keepNames(s), id.renewLeafCAs(s))
	if err != nil {
		id.unmended.Store(&err)
		return err
	}
	id.unmended.Store(nil)
	return nil
}

// notMended returns why what follows from the identity differs from it, after
// another try; nil if it does not differ.
func (id *Identity) notMended() error {
	if id.unmended.Load() == nil {
		return nil
	}
	if id.writing.TryLock() { // else a change is under way, which mends it
		defer id.writing.Unlock()
		if err := id.mend(id.state.Load()); err == nil {
			return nil
		}
	}
	if failed := id.unmended.Load(); failed != nil {
		return *failed
	}
	return nil
}

// keepNames writes down which machine this is.
func (id *Identity) keepNames(s *state) error {
	if err := id.hold(namesPath(id.dir), append(api.Encode(s.names()), '\n'), checkNames); err != nil {
		return fmt.Errorf("store the machine's names: %w", err)
	}
	return nil
}

// renewLeafCAs gives every leaf the CAs that the machine accepts now. A file in
// the place of a leaf is set aside; the next write of its service asks for
// another leaf.
func (id *Identity) renewLeafCAs(s *state) error {
	leaves, err := os.ReadDir(id.leavesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the service leaves: %w", err)
	}
	var failed []error
	for _, leaf := range leaves {
		if leaf.IsDir() {
			failed = append(failed, id.storeLeafCA(s, leaf.Name()))
			continue
		}
		if strings.HasSuffix(leaf.Name(), statefile.NewSuffix) {
			continue // goes with what else is half written
		}
		_, err := statefile.SetAside(id.stateDir(), id.LeafDir(leaf.Name()))
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// storeLeafCA gives a leaf the CAs that the machine accepts.
func (id *Identity) storeLeafCA(s *state, name string) error {
	if err := id.hold(id.leafPath(name, leafCAFile), []byte(strings.Join(s.ca.PEM(), "")), checkCAs); err != nil {
		return fmt.Errorf("store the CAs of the service leaf %s: %w", name, err)
	}
	return nil
}

// hold has a file hold some content, and writes it only where it does not. A
// damaged one is kept aside.
func (id *Identity) hold(path string, content []byte, check func(path string, content []byte) error) error {
	before, err := statefile.Read(path)
	if err == nil && bytes.Equal(before, content) {
		return nil
	}
	if err == nil && before != nil {
		err = check(path, before)
	}
	if err != nil {
		if _, err := statefile.Keep(id.stateDir(), path); err != nil {
			return err
		}
	}
	return id.store.write(path, content)
}

// sweep removes what a killed write left in the identity's directories.
func (id *Identity) sweep() error {
	found := []string{namesPath(id.dir) + tempSuffix}
	for _, pattern := range []string{filepath.Join(id.dir, "*"+tempSuffix), filepath.Join(id.leavesDir(), "*", "*"+tempSuffix)} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	for _, path := range found {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// stateDir returns the agent's directory, which holds the identity's.
func (id *Identity) stateDir() string { return filepath.Dir(id.dir) }

func (id *Identity) leavesDir() string { return filepath.Join(id.dir, leavesDir) }
