package appserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
)

const (
	// maxDrainFile bounds what is read of a drain file, in bytes: nginx's account can
	// write there too.
	maxDrainFile = 1 << 10
	// maxDrainer bounds the name that is shown from it, in characters.
	maxDrainer = 100
)

var _ operation.Operable = (*Kind)(nil)

// Drain implements [operation.Operable] with a file that nginx and the agent look for
// with each check of a load balancer. It lasts until the next boot.
func (k *Kind) Drain(name, by string) (*api.Drain, error) {
	l := layout{name: name}
	before := k.drain(l)
	if before != nil && before.By != "" {
		return before, nil
	}
	dir, file := path.Split(l.drainFile())
	note := api.Drain{By: by, At: k.clock.Now().UTC().Truncate(time.Second)}
	err := foreign.WriteFile(k.machine.path(dir), file, api.Encode(note))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &api.Problem{Type: api.ProblemInvalid, Title: "There is nothing to drain",
			Detail: fmt.Sprintf("nginx of %s does not run, so load balancers send it no requests; \"foobar-agent restart %s\" starts it", name, l.component())}
	}
	return before, err
}

// Undrain implements [operation.Operable].
func (k *Kind) Undrain(name string) (*api.Drain, error) {
	l := layout{name: name}
	before := k.drain(l)
	dir, file := path.Split(l.drainFile())
	return before, foreign.Remove(k.machine.path(dir), file)
}

// drain returns the drain of an app server, nil if it is not drained. Who has made its file
// without the agent is not known.
func (k *Kind) drain(l layout) *api.Drain {
	if !k.machine.exists(l.drainFile()) {
		return nil
	}
	dir, file := path.Split(l.drainFile())
	var note api.Drain
	if text, err := foreign.ReadFile(k.machine.path(dir), file, maxDrainFile); err != nil || json.Unmarshal(text, &note) != nil {
		return &api.Drain{}
	}
	note.By = fmt.Sprintf("%.*s", maxDrainer, note.By)
	return &note
}

// Release implements [operation.Operable].
func (k *Kind) Release(spec operation.Spec) string {
	s, err := specOf(spec)
	if err != nil {
		return "an unknown release"
	}
	return fmt.Sprintf("release %.12s", s.Release.SHA256)
}

func (l layout) component() api.ID { return api.ID{Kind: api.KindAppServer, Name: l.name} }

// drained says who has drained an app server, and how that ends.
func (k *Kind) drained(l layout) []api.Condition {
	drain := k.drain(l)
	if drain == nil {
		return nil
	}
	how := "with the file " + l.drainFile()
	if drain.By != "" && !drain.At.IsZero() {
		how = fmt.Sprintf("at %s by %s", clockTime(drain.At), api.Visible(drain.By))
	}
	return []api.Condition{{
		Type: "Draining", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("The app server %s was drained %s: load balancers send it no new requests. To end that, run on the machine: foobar-agent undrain %s", l.name, how, l.component()),
	}}
}
