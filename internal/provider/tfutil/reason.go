package tfutil

import (
	"errors"
	"fmt"

	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// reason is why a machine could not be asked at all.
type reason struct {
	summary, detail string
	// wrong tells that waiting will not help: somebody answered who is not
	// the machine that was meant, or cannot do what is needed.
	wrong bool
}

// reason returns why the machine could not be asked, if that is what err says.
func (c Call) reason(err error) (reason, bool) {
	name := c.Machine.Name.ValueString()
	for _, class := range []struct {
		is      bool
		summary string
		wrong   bool
	}{
		{is[*client.Unreachable](err), "Machine %q is unreachable", false},
		{c.lost(err), "Machine %q is not enrolled any more", true},
		{is[*client.NotEnrolled](err), "Machine %q is not enrolled", false},
		{is[*client.ClockMismatch](err), "The clock of machine %q does not fit", false},
		{is[*client.WrongMachine](err), "Another machine than %q answers", true},
		{is[*client.WrongCA](err), "Machine %q trusts another CA", true},
		{is[*client.ProofFailed](err), "Machine %q could not prove who it is", true},
		{is[*client.TooOld](err), "The agent of machine %q is too old", true},
		{IsMissing(err), "Machine %q cannot be asked without credentials", !isUnknownYet(err)},
	} {
		if class.is {
			return reason{summary: fmt.Sprintf(class.summary, name), detail: c.detail(err), wrong: class.wrong}, true
		}
	}
	return reason{}, false
}

// lost reports whether a machine that was enrolled once no longer is: its VM
// was rebuilt, its identity is gone, or it is an impostor.
func (c Call) lost(err error) bool {
	return is[*client.NotEnrolled](err) && c.Machine.Key.ValueString() != "" && c.Machine.Incarnation.ValueInt64() > 0
}

// detail says what was found and what to do. Of a machine that was enrolled
// once, and no longer is, more is known than the client can tell.
func (c Call) detail(err error) string {
	incarnation := c.Machine.Incarnation.ValueInt64()
	if fresh, ok := errors.AsType[*client.NotEnrolled](err); ok && c.lost(err) {
		return fmt.Sprintf("The VM that answers at %s as machine %s is not enrolled, and incarnation %d of the machine was. If the VM was rebuilt, "+
			"raise the incarnation of its foobar_machine to %d, and that of its foobar_bootstrap if the configuration has one: the next apply enrols the new VM and restores everything on it. "+
			"If it is the same VM, and the files of its identity are gone or damaged, raise the incarnation as well, write the json of the foobar_bootstrap to a file on the machine, "+
			"and run there as root: foobar-agent identity reset --bootstrap FILE. Its data and services stay.",
			fresh.Address, fresh.Machine, incarnation, incarnation+1)
	}
	if is[*client.WrongMachine](err) {
		return Sentence(err) + " Nothing was sent to it. Compare name, address and incarnation; machine = foobar_machine.<label> has those of the machine that was enrolled."
	}
	if is[*client.NotEnrolled](err) {
		return Sentence(err) + " If the configuration has none, add one and write machine = foobar_machine.<label>, so that it comes first."
	}
	return Sentence(err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
