package converge

import (
	"fmt"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// inTheWay says why an apply cannot put a sort of thing on a path, and who has
// to act; "" if it can. It removes nothing that may be somebody's data, follows
// no link and lifts no lock that an administrator has set.
func (e *Engine) inTheWay(path string, found standing, wanted sort) (string, error) {
	for _, locked := range []string{path, filepath.Dir(path)} {
		if e.disk().immutable(locked) {
			return fmt.Sprintf("%s is immutable, so that nobody can change it: run chattr -i -a %s on the machine, and apply again", locked, locked), nil
		}
	}
	switch {
	case found.Sort == wanted, found.Sort == nothing:
		return "", nil
	case wanted == aDir:
		return fmt.Sprintf("an apply does not remove it: move %s away on the machine, and apply again", path), nil
	case found.Sort == aDir:
		empty, err := e.disk().empty(path)
		if err != nil || empty {
			return "", err
		}
		return fmt.Sprintf("an apply does not remove a directory that holds something: move %s away on the machine, and apply again", path), nil
	}
	return "", nil
}

// obstacle is the problem of what is in the way of an apply, nil if nothing is.
func (e *Engine) obstacle(path string, found standing, wanted sort) error {
	reason, err := e.inTheWay(path, found, wanted)
	if err != nil || reason == "" {
		return err
	}
	detail := reason
	if found.Sort != wanted && found.Sort != nothing {
		detail = fmt.Sprintf("%s %s; %s", path, isNot(found, wanted), reason)
	}
	return &api.Problem{Type: api.ProblemEngineRefused, Title: "Something on the machine is in the way", Detail: detail}
}

// isNot says what stands where something else should.
func isNot(found standing, wanted sort) string {
	if found.Sort == aLink {
		return fmt.Sprintf("is a link to %s, not %s", found.Target, wanted)
	}
	return fmt.Sprintf("is %s, not %s", found.Sort, wanted)
}

// missingUsers returns those accounts that the machine does not have, or whose
// group it does not have.
func (e *Engine) missingUsers(users []User) map[string]bool {
	missing := map[string]bool{}
	for _, u := range users {
		if _, _, err := e.Accounts.Lookup(u.Name, u.Name); err != nil {
			missing[u.Name] = true
		}
	}
	return missing
}
