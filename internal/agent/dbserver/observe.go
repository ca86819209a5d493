package dbserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/converge"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/host"
	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/operation"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// fullAt is the share of the disk, in percent, from which on it counts as
	// nearly full: a server that cannot write its binary log stops.
	fullAt = 90
	// expirySoon is how long before its end a certificate is warned of.
	expirySoon = 30 * 24 * time.Hour
)

// Observe asks the running server. Where it does not run, the spec counts as
// it was applied: that the unit is down is for converge to tell.
func (k *Kind) Observe(ctx context.Context, name string, applied converge.Version) (operation.Observation, error) {
	spec, err := specOf(applied.Spec)
	if err != nil {
		return operation.Observation{}, err
	}
	r := &runner{Kind: k, name: name, p: PathsOf(name), spec: spec, state: applied.State}
	unit, err := k.Units.Status(ctx, r.p.Unit)
	if err != nil {
		return operation.Observation{}, fmt.Errorf("look at %s: %w", r.p.Unit, err)
	}
	seen := operation.Observation{Spec: spec, Conditions: r.conditions()}
	state := api.DBServerStatus{PID: unit.MainPID}
	data := survey(r.root + r.p.Data)
	state.DataBytes, state.BinlogBytes = data.bytes, data.binlogs
	seen.Conditions = append(seen.Conditions, data.conditions()...)
	if unit.Active() {
		variables, now, err := k.connect(r.root + r.p.Socket).Show(ctx)
		if ctx.Err() != nil {
			return operation.Observation{}, fmt.Errorf("observe the database server %s: %w", name, ctx.Err())
		}
		if err != nil {
			seen.Conditions = append(seen.Conditions, silent(r.p, err))
		} else {
			now.fill(&state)
			server, strange := observed(spec, compare(name, spec, variables))
			seen.Spec, seen.Drift = server, r.drift(ctx, strange)
		}
	}
	seen.Status = state
	return seen, nil
}

func silent(p Paths, cause error) api.Condition {
	return api.Condition{
		Type: "EngineSilent", Severity: api.SeverityError,
		Message: fmt.Sprintf("%s runs but MariaDB does not answer, so its state is unknown: %v. See its journal, or restart the unit.", p.Unit, cause),
	}
}

// drift tells of what differs and is no value of the spec, under the name of
// what it belongs to.
func (r *runner) drift(ctx context.Context, strange []difference) map[string]api.Drift {
	found := map[string]api.Drift{}
	var details []string
	for _, d := range strange {
		details = append(details, fmt.Sprintf("%s is %q in the running server, and was applied as %q", d.Name, d.shows, d.value))
	}
	if r.formerCertificate() {
		details = append(details, "the running server shows a former certificate, or accepts former CAs")
	}
	if err := r.hasLeaf(); err != nil {
		details = append(details, "its certificate or key is not there any more, so that it would not start again")
	}
	if len(details) > 0 {
		found[r.p.Unit] = api.Drift{Detail: strings.Join(details, "; ")}
	}
	if detail := r.strangeClients(ctx); detail != "" {
		found["nftables inet "+r.p.Table] = api.Drift{Detail: detail, Pointers: []api.Pointer{"/allowed_clients"}}
	}
	return found
}

// strangeClients tells how the packet filter differs from its file, "" if it
// does not.
func (r *runner) strangeClients(ctx context.Context) string {
	table, err := r.clients(ctx, r.p.Table)
	switch {
	case err != nil:
		return fmt.Sprintf("the packet filter is not there, so clients are not kept out: %v", err)
	case !slices.Equal(tableLines(table), tableOf(r.state.File(r.p.Clients).Content)):
		return "the packet filter was changed by hand"
	}
	return ""
}

// listTable has nft list a table of the packet filter.
func listTable(ctx context.Context, table string) (string, error) {
	output, err := exec.CommandContext(ctx, filter, "list", "table", "inet", table).Output()
	if failure, ok := errors.AsType[*exec.ExitError](err); ok {
		reason, _, _ := strings.Cut(string(failure.Stderr), "\n")
		return "", fmt.Errorf("nft list table: %s", reason)
	}
	return string(output), err
}

// formerCertificate reports whether the server was given another certificate,
// or other CAs, than its leaf has now.
func (r *runner) formerCertificate() bool {
	for given, file := range map[string]string{r.p.Certificate: "cert.pem", r.p.CA: "ca.pem"} {
		before, err := os.ReadFile(r.root + given)
		if err != nil {
			return false // it does not run
		}
		if present, err := os.ReadFile(r.leafFile(file)); err == nil && !bytes.Equal(before, present) {
			return true
		}
	}
	return false
}

func (r *runner) leafFile(name string) string {
	return filepath.Join(r.LeafDir(api.ID{Kind: api.KindDBServer, Name: r.name}.LeafName()), name)
}

// conditions are what is wrong with what the server rests on.
func (r *runner) conditions() []api.Condition {
	var all []api.Condition
	there, err := exists(r.root + r.p.Data)
	switch {
	case err != nil:
		all = append(all, api.Condition{Type: "DataMissing", Severity: api.SeverityError, Message: err.Error()})
	case !there:
		all = append(all, api.Condition{Type: "DataMissing", Severity: api.SeverityError, Message: dataMissing(r.p)})
	}
	if used, ok := usedDisk(r.root + r.p.State); ok && used >= fullAt {
		all = append(all, api.Condition{
			Type: "DiskNearlyFull", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("The disk of %s is %d %% full; a database that cannot write stops. Make room, or lower max_binlog_total_size.", r.p.State, used),
		})
	}
	if end, ok := r.certificateEnd(); ok && end.Before(time.Now().Add(expirySoon)) {
		all = append(all, api.Condition{
			Type: "CertificateExpiring", Severity: api.SeverityWarning,
			Message: fmt.Sprintf("The server's certificate ends on %s; the next apply with the CA's seed renews it.", end.UTC().Format(time.DateOnly)),
		})
	}
	return all
}

// certificateEnd returns when the leaf's certificate ends, if there is one.
func (r *runner) certificateEnd() (time.Time, bool) {
	text, err := os.ReadFile(r.leafFile("cert.pem"))
	if err != nil {
		return time.Time{}, false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return certificate.NotAfter, true
}

// usedDisk returns how full, in percent, the file system below a path is for
// those who are not root.
func usedDisk(path string) (percent int64, ok bool) {
	room, err := host.RoomOf(path)
	if err != nil || room.Size == 0 {
		return 0, false
	}
	return room.Used * 100 / max(1, room.Used+room.Free), true
}
