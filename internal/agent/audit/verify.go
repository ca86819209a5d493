package audit

import (
	"fmt"
	"path/filepath"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// Report is what [Verify] found.
type Report struct {
	// Entries counts the lines, Last is the last one that is an entry.
	Entries int
	Last    api.AuditEntry
	// Faults are the lines that were changed or do not follow on the one
	// before, nil if the log is as it was written.
	Faults []error
}

// Verify reads the log in a directory and checks every hash and every link of
// the chain, from the older file into the present one. A torn last line is no
// fault. The error tells that the log cannot be read.
func Verify(dir string) (Report, error) { return verifyLog(filepath.Join(dir, FileName)) }

func verifyLog(path string) (Report, error) {
	files, err := openFiles(path)
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	var report Report
	var links chain
	err = each(files, func(path string, number int, line []byte) bool {
		report.Entries++
		entry, fault := decode(line)
		if entry.Seq > 0 {
			if broken := links.follow(entry); fault == nil {
				fault = broken
			}
			report.Last = entry
		}
		if fault != nil {
			report.Faults = append(report.Faults, fmt.Errorf("%s line %d %w", filepath.Base(path), number, fault))
		}
		return true
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify the audit log: %w", err)
	}
	return report, nil
}
