package api

import (
	"regexp"
	"strings"
)

// AppLimits bound what one process tree of an app may take of the machine. They hold
// for each slot: while a release is switched, two run side by side.
type AppLimits struct {
	// Memory is the most that the app may hold, files that it has in memory
	// included: a part of the machine's ("40%") or a size ("512M").
	Memory string `json:"memory"`
	// CPU is the most CPU time that the app may use, in percent of one CPU; 0 means
	// that it may use what nobody else needs.
	CPU int `json:"cpu"`
	// Tasks is how many processes and threads it may have, OpenFiles how many
	// descriptors a process may hold.
	Tasks     int `json:"tasks"`
	OpenFiles int `json:"open_files"`
}

// MinAppMemory is the least size that an app's memory may be limited to, in bytes:
// what a small program needs to start. A part of the machine's memory may be less.
const MinAppMemory = 16 << 20

// MemoryLimitRule is the rule for [AppLimits.Memory], as errors tell and docs quote it.
const MemoryLimitRule = `a part of the machine's memory from "1%" to "100%", or a size of at least 16M, such as "512M" or "2G"`

var percentPattern = regexp.MustCompile(`^([1-9][0-9]?|100)%$`)

func (l AppLimits) validate(v *Violations, at Pointer) {
	if problem := memoryProblem(l.Memory); problem != "" {
		v.Add(at.At("memory"), "%q is %s; allowed is %s", l.Memory, problem, MemoryLimitRule)
	}
	if l.CPU != 0 { // 0 is none
		within(v, at.At("cpu"), int64(l.CPU), CPUBounds(), "percent of one CPU")
	}
	within(v, at.At("tasks"), int64(l.Tasks), TaskBounds(), "")
	within(v, at.At("open_files"), int64(l.OpenFiles), FileBounds(), "")
}

// memoryProblem says what is wrong with a limit of memory, "" if nothing is.
func memoryProblem(text string) string {
	if percentPattern.MatchString(text) {
		return ""
	}
	if strings.HasSuffix(text, "%") {
		return "not a part of the machine's memory"
	}
	n, err := ParseSize(text)
	switch {
	case err != nil:
		return "not a limit of memory"
	case n < MinAppMemory && !strings.ContainsAny(text, sizeSuffixes+strings.ToLower(sizeSuffixes)):
		return "a number of bytes, as it has no unit, and too little for an app to start"
	case n < MinAppMemory:
		return "too little for an app to start"
	}
	return ""
}
