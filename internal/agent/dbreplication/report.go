package dbreplication

import (
	"fmt"
	"strings"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// report returns findings in the words of the agent's API: what an apply
// repairs is drift, all else a condition.
func report(spec api.DBReplication, findings []replication.Finding) (map[string]api.Drift, []api.Condition) {
	drift := map[string]api.Drift{}
	var conditions []api.Condition
	for _, f := range findings {
		at := placesOf(spec, f)
		if !f.Repaired {
			c := api.Condition{Type: string(f.Code), Severity: f.Severity, Message: messageOf(f), Machine: string(f.Node)}
			if len(at) > 0 {
				c.Pointer = at[0]
			}
			conditions = append(conditions, c)
			continue
		}
		key := string(f.Code)
		if f.Node != "" {
			key = string(f.Node) + "/" + key
		}
		if before, ok := drift[key]; ok {
			f.Detail = before.Detail + "; " + f.Detail
		}
		drift[key] = api.Drift{Detail: f.Detail, Pointers: at}
	}
	return drift, conditions
}

// placesOf returns the places in the spec that a finding concerns.
func placesOf(spec api.DBReplication, f replication.Finding) []api.Pointer {
	at := placeOf(spec, f.Node)
	switch f.Code {
	case replication.PrimaryDiffers:
		return []api.Pointer{"/primary"}
	case replication.CatalogDiffers:
		return []api.Pointer{"/databases", "/users"}
	case replication.BinlogRetentionShort:
		return []api.Pointer{"/min_binlog_retention"}
	case replication.DuplicateIdentity:
		return []api.Pointer{at.At("server_id")}
	case replication.Delayed:
		return []api.Pointer{at.At("delay")}
	default:
		if at == "" {
			return nil
		}
		return []api.Pointer{at}
	}
}

// placeOf returns the place of a machine in the spec, "" if it has none.
func placeOf(spec api.DBReplication, node replication.NodeID) api.Pointer {
	name := string(node)
	if _, ok := spec.Members[name]; ok {
		return api.Pointer("/members").At(name)
	}
	if _, ok := spec.Witnesses[name]; ok {
		return api.Pointer("/witnesses").At(name)
	}
	return ""
}

// messageOf says what was found, on which machine, and what to do.
func messageOf(f replication.Finding) string {
	message := f.Detail
	if node := string(f.Node); node != "" && !strings.HasPrefix(message, node+" ") {
		message = node + ": " + message
	}
	if f.Next != "" {
		message = strings.TrimSuffix(message, ".") + ". " + api.Capital(f.Next)
	}
	return message + "."
}

// problemOf returns a refusal as a problem with the places that it is about,
// and any other error as it is.
func problemOf(spec api.DBReplication, err error) error {
	refusal, ok := err.(*replication.Refusal) //nolint:errorlint // Plan's error is one, not in a chain
	if !ok {
		return err
	}
	title, why := wordsOf(refusal.Reason)
	problem := &api.Problem{Type: api.ProblemEngineRefused, Title: title, Detail: refusal.Error()}
	note := func(at api.Pointer, format string, args ...any) {
		problem.Violations = append(problem.Violations, api.Violation{Pointer: at, Detail: fmt.Sprintf(format, args...)})
	}
	switch refusal.Reason {
	case replication.RefusedTopology:
		note("/primary", "%q is declared", spec.Primary)
		return problem
	case replication.RefusedChangeOfPrimary:
		note("/primary", "%q is declared, and %q is primary", spec.Primary, refusal.Nodes[0])
		return problem
	default:
	}
	for _, node := range refusal.Nodes {
		at := placeOf(spec, node)
		if at == "" {
			continue // a member that has left
		}
		if refusal.Reason == replication.RefusedIdentity {
			at = at.At("server_id")
		}
		note(at, "%s %s", node, why)
	}
	return problem
}

// wordsOf names the class of a refusal, and says of a machine that it is about
// what it has to do with it.
func wordsOf(reason replication.Reason) (title, why string) {
	switch reason {
	case replication.RefusedTopology:
		return "The replication makes no sense", ""
	case replication.RefusedChangeOfPrimary:
		return "Another member is primary", ""
	case replication.RefusedEpochConflict:
		return "Two members are recorded as primary", ""
	case replication.RefusedTwoWritable:
		return "Several members accept writes", "accepts writes"
	case replication.RefusedIdentity:
		return "Two members have one server id", "has the server id of another member"
	case replication.RefusedUnobservable:
		return "A machine does not answer", "does not answer"
	case replication.RefusedUnconfigured:
		return "A machine is not ready", "is not ready yet: it has no configuration of the replication"
	case replication.RefusedNoMajority:
		return "Too few machines answer", "does not answer"
	case replication.RefusedPrimaryLost:
		return "The primary has lost its data", "has no data"
	case replication.RefusedConsent:
		return "Data would be lost", "has data of its own"
	case replication.RefusedVersion:
		return "The members' versions do not fit", "has another version"
	}
	return "The replication is refused", "is what this is about"
}
