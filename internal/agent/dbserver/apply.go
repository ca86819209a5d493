package dbserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/systemd"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// settle bounds the wait for a started server to answer; its start itself
	// has waited until it was ready.
	settle = 10 * time.Second
	// poll is the pause between two looks at what is waited for.
	poll = 50 * time.Millisecond
	// logLines is how much of the journal goes with a failed start.
	logLines = 60
)

// Apply makes MariaDB follow its files by the mildest means that does it: by
// SET GLOBAL, else by a restart. What the running server shows is compared
// with the spec in the end. Whether it is open to writes is not looked at and
// not changed, but that a restart fences it.
func (k *Kind) Apply(ctx context.Context, change converge.Change, progress converge.Progress) error {
	if change.To == nil {
		return nil // stopping the unit is all there is to it; the data stays
	}
	spec, err := specOf(change.To.Spec)
	if err != nil {
		return err
	}
	run := runner{Kind: k, name: change.Name, p: PathsOf(change.Name), spec: spec, state: change.To.State, progress: progress}
	if !change.Undo {
		if err := run.prepare(ctx, change.From == nil); err != nil {
			return err
		}
	}
	if err := run.activate(ctx, change); err != nil {
		return err
	}
	return run.align(ctx)
}

// runner is one Apply under way.
type runner struct {
	*Kind
	name      string
	p         Paths
	spec      api.DBServer
	state     converge.State
	progress  converge.Progress
	restarted bool
}

// prepare sees that there is a leaf and a data directory. Only a server that
// is being made gets an empty one: for all others the data has to be somewhere.
func (r *runner) prepare(ctx context.Context, create bool) error {
	if err := r.hasLeaf(); err != nil {
		return err
	}
	if err := makeState(r.root + r.p.State); err != nil {
		return err
	}
	there, err := exists(r.root + r.p.Data)
	switch {
	case err != nil:
		return err
	case there && create:
		r.progress(api.PhaseActivate, "adopting the data in %s", r.p.Data)
		return nil
	case there:
		return nil
	case !create:
		return &api.Problem{
			Type: api.ProblemEngineRefused, Title: "The data directory is gone",
			Detail: dataMissing(r.p),
		}
	}
	r.progress(api.PhaseActivate, "making an empty database in %s", r.p.Data)
	return r.initialise(ctx, r.p)
}

func dataMissing(p Paths) string {
	return p.Data + " does not exist, and an empty one in its place could be taken for the data. Mount its disk or bring it back; to start with an empty database, destroy this server and apply it again."
}

// hasLeaf sees that the unit will find the key and certificates it passes on.
func (r *runner) hasLeaf() error {
	leaf := api.ID{Kind: api.KindDBServer, Name: r.name}.LeafName()
	for _, file := range []string{"key.pem", "cert.pem", "ca.pem"} {
		if _, err := os.Stat(filepath.Join(r.LeafDir(leaf), file)); err != nil {
			return &api.Problem{
				Type: api.ProblemEngineRefused, Title: "The database server has no certificate",
				Detail: fmt.Sprintf("the key or the certificates of service %q on this machine are not complete (%v). terraform apply of the foobar_db_server makes and signs them", leaf, err),
			}
		}
	}
	return nil
}

// activate starts or restarts MariaDB if the change needs it. A reload of its
// unit has the packet filter and the certificate follow their files.
func (r *runner) activate(ctx context.Context, change converge.Change) error {
	status, err := r.Units.Status(ctx, r.p.Unit)
	if err != nil {
		return fmt.Errorf("look at %s: %w", r.p.Unit, err)
	}
	switch {
	case !status.Active():
		r.progress(api.PhaseActivate, "starting %s", r.p.Unit)
		r.restarted = true
		return r.started(ctx, r.Units.Start(ctx, r.p.Unit))
	case impact(change, r.p) == api.ImpactRestart:
		return r.restart(ctx)
	case change.Changed(r.p.Clients), r.strangeClients(ctx) != "", r.formerCertificate():
		r.progress(api.PhaseActivate, "reloading %s: its clients and its certificate", r.p.Unit)
		return r.started(ctx, r.Units.Reload(ctx, r.p.Unit))
	}
	return nil
}

// TakeLeaf reloads a server that runs and shows another certificate than its leaf
// has: no connection ends.
func (k *Kind) TakeLeaf(ctx context.Context, name string) error {
	r := &runner{Kind: k, name: name, p: PathsOf(name)}
	if !r.formerCertificate() {
		return nil
	}
	status, err := k.Units.Status(ctx, r.p.Unit)
	if err != nil || !status.Active() {
		return err
	}
	if err := k.Units.Reload(ctx, r.p.Unit); err != nil {
		return fmt.Errorf("reload %s: %w", r.p.Unit, err)
	}
	return nil
}

func (r *runner) restart(ctx context.Context) error {
	r.progress(api.PhaseActivate, "restarting %s", r.p.Unit)
	r.restarted = true
	return r.started(ctx, r.Units.Restart(ctx, r.p.Unit))
}

// started explains a failed start with what MariaDB wrote to the journal.
func (r *runner) started(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if job, ok := errors.AsType[*systemd.JobError](err); ok && job.Job == "assert" {
		return &api.Problem{Type: api.ProblemEngineRefused, Title: "The data directory is gone", Detail: dataMissing(r.p)}
	}
	lines, journalErr := r.Journal.Journal(ctx, r.p.Unit, logLines)
	if journalErr != nil {
		return fmt.Errorf("%w (and its journal cannot be read: %w)", err, journalErr)
	}
	messages := parseMessages(strings.Join(lastStart(lines), "\n"))
	if len(messages) == 0 {
		return fmt.Errorf("%w; its last lines: %s", err, api.Shorten(strings.Join(lines, " | "), maxDetail))
	}
	return refusal("MariaDB does not start", messages, r.spec)
}

// lastStart returns the lines of the last start that wrote an error; those
// before it may be about another configuration.
func lastStart(lines []string) []string {
	end := len(lines)
	for i := len(lines) - 1; i >= 0; i-- {
		if i > 0 && !strings.Contains(lines[i], "Starting MariaDB") && !strings.HasPrefix(lines[i], "Starting foobar-db-") {
			continue
		}
		if strings.Contains(strings.Join(lines[i:end], "\n"), "[ERROR]") {
			return lines[i:end]
		}
		end = i
	}
	return lines
}

// align compares the running server with the spec and sets it right: at run
// time where it can, by a restart if that has not been tried.
func (r *runner) align(ctx context.Context) error {
	differences, err := r.differences(ctx)
	if err != nil {
		return err
	}
	for _, d := range differences {
		if !d.Runtime && !r.restarted {
			r.progress(api.PhaseActivate, "%s is %q and takes %q at a start only", d.Name, d.shows, d.value)
			if err := r.restart(ctx); err != nil {
				return err
			}
			if differences, err = r.differences(ctx); err != nil {
				return err
			}
			break
		}
	}
	if len(differences) == 0 {
		return nil
	}
	if err := r.set(ctx, differences); err != nil {
		return err
	}
	if differences, err = r.differences(ctx); err != nil {
		return err
	}
	return strayed(differences)
}

// set issues what can be changed at run time.
func (r *runner) set(ctx context.Context, differences []difference) error {
	engine := r.connect(r.root + r.p.Socket)
	for _, d := range differences {
		if !d.Runtime {
			continue
		}
		r.progress(api.PhaseActivate, "telling MariaDB: SET GLOBAL %s = %s", d.Name, d.literal())
		if err := engine.Set(ctx, d.Name, d.literal()); err != nil {
			return &api.Problem{
				Type: api.ProblemEngineRefused, Title: "MariaDB refuses a setting",
				Violations: api.Violations{{Pointer: d.pointer, Detail: fmt.Sprintf("%s = %s: %v", d.Name, d.literal(), err)}},
			}
		}
	}
	return nil
}

// strayed is the error of a server that runs with other values than it was given.
func strayed(differences []difference) error {
	if len(differences) == 0 {
		return nil
	}
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: "MariaDB does not run with the settings that it was given"}
	for _, d := range differences {
		problem.Violations = append(problem.Violations, api.Violation{
			Pointer: d.pointer,
			Detail:  fmt.Sprintf("%s was given as %q, and the server made it %q; write that, or what it rests on", d.Name, d.value, d.shows),
		})
	}
	return problem
}

// differences waits until the server answers and returns what differs in it.
func (r *runner) differences(ctx context.Context) ([]difference, error) {
	deadline, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		variables, _, err := r.connect(r.root + r.p.Socket).Show(deadline)
		if err == nil {
			return compare(r.name, r.spec, variables), nil
		}
		select {
		case <-deadline.Done():
			return nil, fmt.Errorf("wait until MariaDB answers: %w", errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}
