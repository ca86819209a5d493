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

// drainNote is what a drain file says.
type drainNote struct {
	By string    `json:"by"`
	At time.Time `json:"at"`
}

var _ operation.Operable = (*Kind)(nil)

// Drain implements [operation.Operable] with a file that nginx and the agent look for
// with each check of a load balancer. It lasts until the next boot.
func (k *Kind) Drain(name, by string) error {
	l := layout{name: name}
	dir, file := path.Split(l.drainFile())
	note := drainNote{By: by, At: k.clock.Now().UTC().Truncate(time.Second)}
	err := foreign.WriteFile(k.machine.path(dir), file, api.Encode(note))
	if errors.Is(err, fs.ErrNotExist) {
		return &api.Problem{Type: api.ProblemInvalid, Title: "There is nothing to drain",
			Detail: fmt.Sprintf("nginx of %s does not run, so load balancers send it no requests; \"foobar-agent restart %s\" starts it", name, l.component())}
	}
	return err
}

// Undrain implements [operation.Operable].
func (k *Kind) Undrain(name string) error {
	dir, file := path.Split(layout{name: name}.drainFile())
	return foreign.Remove(k.machine.path(dir), file)
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
	if !k.machine.exists(l.drainFile()) {
		return nil
	}
	how := "with the file " + l.drainFile()
	dir, file := path.Split(l.drainFile())
	var note drainNote
	if text, err := foreign.ReadFile(k.machine.path(dir), file, maxDrainFile); err == nil && json.Unmarshal(text, &note) == nil && note.By != "" && !note.At.IsZero() {
		how = fmt.Sprintf("at %s by %s", clockTime(note.At), api.Visible(fmt.Sprintf("%.*s", maxDrainer, note.By)))
	}
	return []api.Condition{{
		Type: "Draining", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("The app server %s was drained %s: load balancers send it no new requests. To end that, run on the machine: foobar-agent undrain %s", l.name, how, l.component()),
	}}
}
