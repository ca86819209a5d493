package dbserver

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// tightPart is how much of the machine's memory, in percent, the server may take
// for all its clients together before a plan warns: connections, the agent and the
// kernel's cache need the rest. usualPart is what a buffer pool usually gets.
const (
	tightPart = 80
	usualPart = 70
)

// amount is a setting that is an amount of the machine's memory.
type amount struct {
	variable
	bytes int64
}

// amounts returns the memory that a spec gives the server, the largest first.
func amounts(spec api.DBServer) []amount {
	var all []amount
	for _, v := range given(spec) {
		if n, err := strconv.ParseInt(v.value, 10, 64); err == nil && v.Memory {
			all = append(all, amount{v, n})
		}
	}
	slices.SortStableFunc(all, func(a, b amount) int { return cmp.Compare(b.bytes, a.bytes) })
	return all
}

// checkMemory adds to a problem the settings that alone are more than the machine's
// memory, and that MariaDB itself takes: it starts with them, as long as it does not
// use what it has asked for.
func (k *Kind) checkMemory(spec api.DBServer, problem *api.Problem) error {
	all := amounts(spec)
	if len(all) == 0 {
		return nil
	}
	memory, err := k.memory()
	if err != nil {
		return err
	}
	for _, a := range all {
		refused := slices.ContainsFunc(problem.Violations, func(v api.Violation) bool { return v.Pointer == a.pointer })
		if a.bytes <= memory || refused {
			continue
		}
		problem.Violations = append(problem.Violations, api.Violation{Pointer: a.pointer, Detail: fmt.Sprintf(
			"%s is more memory than this machine has, which is %s; write at most %s, or give the machine more memory",
			a.Format(a.bytes), inMiB(memory), inMiB(memory*usualPart/100))})
	}
	return nil
}

// tight warns of settings that leave the machine too little memory together.
func (k *Kind) tight(spec api.DBServer) ([]api.Condition, error) {
	all := slices.DeleteFunc(amounts(spec), func(a amount) bool { return !a.Shared })
	if len(all) == 0 {
		return nil, nil
	}
	memory, err := k.memory()
	if err != nil {
		return nil, err
	}
	var sum int64
	for _, a := range all {
		sum += a.bytes
	}
	if sum <= memory*tightPart/100 {
		return nil, nil
	}
	largest := all[0]
	return []api.Condition{{
		Type: "MemoryTight", Severity: api.SeverityWarning, Pointer: largest.pointer,
		Message: fmt.Sprintf("The settings give the server %s for all its clients together, and this machine has %s. Connections, the system and the agent need memory too, and the kernel ends a server that takes too much. "+
			"Lower %s, or the others, so that they are at most %s together, or give the machine more memory.", inMiB(sum), inMiB(memory), largest.Name, inMiB(memory*usualPart/100)),
	}}, nil
}

// inMiB writes a size as a setting has it.
func inMiB(bytes int64) string { return api.FormatSize(bytes >> 20 << 20) }
