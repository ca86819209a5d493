// Package audit keeps the record of who changed the machine, or tried to: an
// append-only file of JSON lines, each holding the hash of the one before, so
// that a line that was changed, removed or put in is noticed. What is not
// noticed is a whole chain that root on the machine made anew, or lines cut
// off its end; against both helps a copy of the last hash, which the API gives
// to who asks.
package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/foobar-stack/terraform-provider-foobar/internal/agent/statefile"
	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

const (
	// FileName is the name of the log in the agent's state directory.
	FileName = "audit.log"
	// RefusedName is that of the log of refused calls, see [OpenRefused].
	RefusedName = "audit-refused.log"
	// OldSuffix ends the name of the older file, which rotation leaves.
	OldSuffix = ".1"
	// MaxBytes is the size, in bytes, at which a file is rotated: some 20,000
	// entries, so that the two files together hold years of applies.
	MaxBytes = 8 << 20
	// MaxRead bounds the entries that one [Log.After] returns.
	MaxRead = 1000
	// maxLine is more than a line can have, in bytes: its writers cut the texts that
	// a caller chose to 3.5 KiB together, and JSON makes at most six bytes of one.
	maxLine = 32 << 10
)

// Log is an open audit log. Its methods may be called at the same time.
type Log struct {
	path     string
	maxBytes int64

	mu     sync.Mutex
	file   *os.File
	size   int64
	last   api.AuditEntry
	faults []error
}

// Open opens the log in a directory, making it where it is missing. A last
// line that was torn by a power loss is cut off. A log that does not verify is
// still appended to, because losing the record of what comes next would be
// worse; [Log.Faults] tells of it.
func Open(dir string) (*Log, error) { return open(filepath.Join(dir, FileName), MaxBytes) }

// OpenRefused opens the log of refused calls in a directory, as [Open] does. It is
// a log of its own because anybody with a certificate can have a call refused: so
// no number of refusals rotates away who changed what.
func OpenRefused(dir string) (*Log, error) { return open(filepath.Join(dir, RefusedName), MaxBytes) }

func open(path string, maxBytes int64) (*Log, error) {
	l := &Log{path: path, maxBytes: maxBytes}
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l.file = file
	if err := l.recover(); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("recover the audit log %s: %w", l.path, err)
	}
	return l, nil
}

// recover cuts a torn last line off, and finds where the chain goes on.
func (l *Log) recover() error {
	whole, err := wholeLines(l.path)
	if err != nil {
		return err
	}
	if info, err := l.file.Stat(); err == nil && whole == 0 && info.Size() > maxLine { // more than a torn line
		if _, err := statefile.SetAside(filepath.Dir(l.path), l.path); err != nil {
			return err
		}
		if err := l.begin(); err != nil {
			return err
		}
	} else if err := l.file.Truncate(whole); err != nil {
		return err
	}
	l.size = whole
	report, err := verifyLog(l.path)
	if err != nil {
		return err
	}
	l.last, l.faults = report.Last, report.Faults
	return syncDir(filepath.Dir(l.path))
}

// Faults returns what was wrong with the log when it was opened, nil if
// nothing was.
func (l *Log) Faults() []error { return l.faults }

// Conditions returns the faults as the machine's health shows them.
func (l *Log) Conditions() []api.Condition {
	if l.faults == nil {
		return nil
	}
	return []api.Condition{{
		Type: "AuditLogChanged", Severity: api.SeverityWarning,
		Message: fmt.Sprintf("The audit log was changed by another than the agent: %v (and %d more). Stop the agent and move %s away to keep it as evidence.",
			l.faults[0], len(l.faults)-1, l.path),
	}}
}

// Append numbers, chains and writes an entry. It returns once the entry is on
// the disk.
func (l *Log) Append(e api.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= l.maxBytes {
		if err := l.rotate(); err != nil {
			return fmt.Errorf("rotate the audit log: %w", err)
		}
	}
	e.Seq, e.Previous = l.last.Seq+1, l.last.Hash
	line := append(encode(&e), '\n')
	if err := l.write(line); err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	l.last = e
	return nil
}

// write appends a line. A line that could not be written whole is taken back,
// so that the next one does not stick to it.
func (l *Log) write(line []byte) error {
	_, err := l.file.Write(line)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(line))
	return nil
}

// rotate makes the file the older one, in place of the one that was, and
// begins a new one.
func (l *Log) rotate() error {
	err := os.Rename(l.path, l.path+OldSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone already if the last try got no further
		return err
	}
	return l.begin()
}

// begin goes on with a new file.
func (l *Log) begin() error {
	file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_ = l.file.Close() // every write to it was synced
	l.file, l.size = file, 0
	return syncDir(filepath.Dir(l.path))
}

// Files are the kinds of files of a [Log], below the agent's directory.
func Files() []statefile.Kind {
	then := "The audit log goes on in a new file. Keep the damaged one as evidence elsewhere, and remove it here to end this condition."
	return []statefile.Kind{
		{Pattern: FileName, Holds: "the audit log", Severity: api.SeverityWarning, Then: then},
		{Pattern: FileName + OldSuffix, Holds: "the older part of the audit log", Severity: api.SeverityWarning, Then: then},
		{Pattern: RefusedName, Holds: "the log of refused calls", Severity: api.SeverityWarning, Then: then},
		{Pattern: RefusedName + OldSuffix, Holds: "the older part of the log of refused calls", Severity: api.SeverityWarning, Then: then},
	}
}

// After returns the entries that follow number seq, oldest first, at most
// [MaxRead]. Reading keeps no entry from being appended.
func (l *Log) After(seq int64) ([]api.AuditEntry, error) {
	l.mu.Lock()
	files, err := openFiles(l.path)
	l.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	entries := []api.AuditEntry{}
	err = each(files, func(_ string, _ int, line []byte) bool {
		if e, err := decode(line); err == nil && e.Seq > seq {
			entries = append(entries, e)
		}
		return len(entries) < MaxRead
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return entries, nil
}

// Close closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// wholeLines returns the length of a file up to and including its last newline.
func wholeLines(path string) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	var length int64
	err = each([]*os.File{file}, func(_ string, _ int, line []byte) bool {
		length += int64(len(line)) + 1
		return true
	})
	return length, err
}

// openFiles opens the older and the present file of a log, those that exist.
func openFiles(path string) ([]*os.File, error) {
	var files []*os.File
	for _, p := range []string{path + OldSuffix, path} {
		file, err := os.Open(p)
		if err == nil {
			files = append(files, file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			closeAll(files)
			return nil, err
		}
	}
	return files, nil
}

// closeAll closes files that were only read.
func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// each gives every whole line of the files to visit, with its file and number,
// until visit returns false, and closes the files.
func each(files []*os.File, visit func(path string, number int, line []byte) bool) error {
	defer closeAll(files)
	for _, file := range files {
		if more, err := eachLine(file, visit); err != nil || !more {
			return err
		}
	}
	return nil
}

func eachLine(file *os.File, visit func(path string, number int, line []byte) bool) (more bool, err error) {
	lines := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return true, nil // a line without an end is being written, or was torn
		}
		if err != nil {
			return false, err
		}
		if !visit(file.Name(), number, bytes.TrimSuffix(line, []byte("\n"))) {
			return false, nil
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // only synced
	return d.Sync()
}
