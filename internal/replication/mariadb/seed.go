package mariadb

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/foobar-stack/terraform-provider-foobar/internal/foreign"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication/gtid"
)

// A seed goes through these states; what stands on the disk tells which, and a
// crash between any two is resumed from it:
//
//	mark                  DataDir.seeding exists: the old data may go, nothing is proven of what comes
//	staged                DataDir.seed holds the copy, prepared and synced; its seedFile is written last
//	placed                DataDir holds the copy, with seedFile; the server has not reported that it runs on it
//	(no mark)             the server runs on the copy, at its position
//
// DataDir is only ever replaced by a rename, so half a copy never serves.
const (
	markSuffix  = ".seeding"
	stageSuffix = ".seed"
	oldSuffix   = ".old"
	seedFile    = "foobar-seed.json"
)

// maxHeader bounds the first line of a donation, maxNote what is noted of a copy.
const (
	maxHeader = 64 << 10
	maxNote   = 1 << 20
)

// header is the first line of a donation, before the stream of mariadb-backup.
type header struct {
	// Format is 1.
	Format  int    `json:"format"`
	Version string `json:"version"`
	// History is that of the donor just before the copy: it tells who wrote
	// what before, which the copy's own position does not.
	History string `json:"history"`
}

// seeded is what seedFile holds: where the copy stands.
type seeded struct {
	History  string `json:"history"`
	Position string `json:"position"`
}

// Donate writes a copy of the data while the server serves: one line of JSON,
// then the stream of mariadb-backup.
func (e *Engine) Donate(ctx context.Context, to io.Writer) error {
	view, err := e.Observe(ctx)
	if err != nil {
		return fmt.Errorf("copy the data: %w", err)
	}
	first, err := json.Marshal(header{Format: 1, Version: view.Version, History: view.History})
	if err != nil {
		return err
	}
	if _, err := to.Write(append(first, '\n')); err != nil {
		return fmt.Errorf("send the copy: %w", err)
	}
	owner, err := foreign.Lookup(e.Owner)
	if err != nil {
		return fmt.Errorf("copy the data: %w", err)
	}
	scratch, err := os.MkdirTemp("", "foobar-donate-")
	if err != nil {
		return fmt.Errorf("copy the data: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a few small files in the temporary directory
	if err := foreign.Make(scratch, owner, 0o700); err != nil {
		return fmt.Errorf("copy the data: %w", err)
	}
	// As the server's own user: root would also copy what links in the data lead to.
	return backup(ctx, owner, to, "--backup", "--stream=mbstream", "--user="+backupUser,
		"--socket="+e.Socket, "--datadir="+e.DataDir, "--target-dir="+scratch)
}

// Receive replaces the data by a donated copy.
func (e *Engine) Receive(ctx context.Context, donor replication.NodeID, from io.Reader, progress func(bytes int64)) error {
	// The directories of a seed are swapped for one another by their names.
	if err := foreign.Trusted(filepath.Dir(e.DataDir)); err != nil {
		return fmt.Errorf("receive a copy: %w", err)
	}
	if err := e.mark(donor); err != nil {
		return err
	}
	stage := e.DataDir + stageSuffix
	if err := e.stage(ctx, stage, donor, &counter{from: from, tell: progress}); err != nil {
		// Half a copy is never gone on with, and it may be what filled the disk. The mark stays.
		if left := discard(stage); left != nil {
			err = fmt.Errorf("%w (and what came of it stays: %w)", err, left)
		}
		return err
	}
	_, err := e.ResumeSeed(ctx)
	return err
}

// stage puts a donated copy into a directory, prepared.
func (e *Engine) stage(ctx context.Context, stage string, donor replication.NodeID, from io.Reader) error {
	in := bufio.NewReaderSize(from, maxHeader)
	head, err := readHeader(in)
	if err != nil {
		return fmt.Errorf("receive from %s: %w", donor, err)
	}
	owner, err := foreign.Lookup(e.Owner)
	if err == nil {
		err = discard(stage)
	}
	if err == nil {
		err = foreign.Make(stage, owner, 0o700)
	}
	if err != nil {
		return fmt.Errorf("make room for the copy: %w", err)
	}
	if err := tool(ctx, owner, in, nil, "mbstream", "-x", "-C", stage); err != nil {
		return fmt.Errorf("receive from %s: %w", donor, err)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // the sender's failure shows at the end
		return fmt.Errorf("receive from %s: %w", donor, err)
	}
	if err := prepare(ctx, owner, stage, head); err != nil {
		return fmt.Errorf("prepare the copy of %s: %w", donor, err)
	}
	return nil
}

// discard removes a staged copy. Its note goes first, and durably: what a
// crash leaves of the rest counts for no copy.
func discard(stage string) error {
	if err := foreign.Remove(stage, seedFile); err != nil {
		return err
	}
	return os.RemoveAll(stage)
}

func readHeader(in *bufio.Reader) (header, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return header{}, fmt.Errorf("read the first line: %w", err)
	}
	var head header
	if err := json.Unmarshal(line, &head); err != nil || head.Format != 1 {
		return header{}, fmt.Errorf("the first line is not that of a copy that this agent knows")
	}
	return head, nil
}

// prepare makes a received copy one that a server can start on, notes where it
// stands, and sees to it that all of it is on the disk before the note is.
func prepare(ctx context.Context, owner foreign.Account, stage string, head header) error {
	position, err := positionOf(stage)
	if err != nil {
		return err
	}
	if err := backup(ctx, owner, nil, "--prepare", "--target-dir="+stage); err != nil {
		return err
	}
	history, err := gtid.Parse(head.History)
	if err != nil {
		return err
	}
	note, err := json.Marshal(seeded{History: history.Union(position).String(), Position: position.String()})
	if err != nil {
		return err
	}
	syscall.Sync()
	return foreign.WriteFile(stage, seedFile, note)
}

// positionOf reads where a copy stands. The file is one of the last of a
// backup: without it the stream was cut.
func positionOf(stage string) (gtid.Set, error) {
	for _, whole := range []string{"mariadb_backup_checkpoints", "mariadb_backup_info"} {
		if there, err := foreign.Exists(stage, whole); err != nil || !there {
			return gtid.Set{}, errors.Join(fmt.Errorf("the stream ended early: %s is missing", whole), err)
		}
	}
	info, err := foreign.ReadFile(stage, "mariadb_backup_binlog_info", maxNote)
	if err != nil {
		return gtid.Set{}, fmt.Errorf("the donor writes no binary log: %w", err)
	}
	return parseBinlogInfo(string(info))
}

// parseBinlogInfo reads mariadb_backup_binlog_info: file, offset and GTIDs
// with tabs between them. GTIDs of several domains may be spread over lines.
func parseBinlogInfo(text string) (gtid.Set, error) {
	_, rest, found := strings.Cut(text, "\t")
	_, ids, more := strings.Cut(rest, "\t")
	if !found || !more || strings.TrimSpace(ids) == "" {
		return gtid.Set{}, fmt.Errorf("the copy names no transaction id: %q", text)
	}
	return gtid.Parse(strings.Join(strings.Fields(ids), ""))
}

// ResumeSeed ends a seed from wherever its copy is whole.
func (e *Engine) ResumeSeed(ctx context.Context) (incomplete bool, err error) {
	mark, err := e.SeedState()
	if err != nil || mark == nil {
		return false, err
	}
	if !mark.Placed {
		staged, err := foreign.Exists(e.DataDir+stageSuffix, seedFile)
		if err != nil {
			return false, fmt.Errorf("look for the copy: %w", err)
		}
		if !staged {
			return true, nil
		}
		if err := e.place(ctx); err != nil {
			return false, err
		}
	}
	return false, e.startSeeded(ctx)
}

// place puts the staged copy where the data were.
func (e *Engine) place(ctx context.Context) error {
	if err := e.Server.Stop(ctx); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	old := e.DataDir + oldSuffix
	_, err := os.Lstat(e.DataDir)
	if err == nil {
		err = os.RemoveAll(old) // of an earlier try: DataDir has what counts
		if err == nil {
			err = os.Rename(e.DataDir, old)
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil // it was moved away already
	}
	if err == nil {
		err = os.Rename(e.DataDir+stageSuffix, e.DataDir)
	}
	if err == nil {
		err = syncDir(filepath.Dir(e.DataDir))
	}
	if err != nil {
		return fmt.Errorf("put the copy in place: %w", err)
	}
	return nil
}

// startSeeded starts the server on the copy, tells it where the copy stands,
// and takes the mark away.
func (e *Engine) startSeeded(ctx context.Context) error {
	var note seeded
	raw, err := foreign.ReadFile(e.DataDir, seedFile, maxNote)
	if err == nil {
		err = json.Unmarshal(raw, &note)
	}
	if err != nil {
		return fmt.Errorf("read where the copy stands: %w", err)
	}
	if err := e.Server.Start(ctx); err != nil {
		return fmt.Errorf("start the server on the copy: %w", err)
	}
	if err := e.awaitServer(ctx); err != nil {
		return err
	}
	if err := e.setHistory(ctx, note); err != nil {
		return fmt.Errorf("tell the server where its copy stands: %w", err)
	}
	err = os.RemoveAll(e.DataDir + oldSuffix)
	if err == nil {
		err = foreign.Remove(e.DataDir, seedFile)
	}
	if err == nil {
		err = os.Remove(e.DataDir + markSuffix)
	}
	if err != nil {
		return fmt.Errorf("clean up after the seed: %w", err)
	}
	return syncDir(filepath.Dir(e.DataDir))
}

// setHistory makes the history of a fresh copy the donor's: with an empty log
// the server would not know who wrote what before.
func (e *Engine) setHistory(ctx context.Context, note seeded) error {
	return e.pinned(ctx, func(c *sql.Conn) error {
		var logged string
		if err := c.QueryRowContext(ctx, "SELECT @@GLOBAL.gtid_binlog_state").Scan(&logged); err != nil {
			return err
		}
		if err := run(ctx, c, "STOP ALL SLAVES", "SET GLOBAL read_only = 1"); err != nil {
			return err
		}
		if logged == "" {
			if err := run(ctx, c, "SET GLOBAL gtid_binlog_state = "+quoted(note.History)); err != nil {
				return err
			}
		}
		return run(ctx, c, "SET GLOBAL gtid_slave_pos = "+quoted(note.Position))
	})
}

// awaitServer returns once the server answers.
func (e *Engine) awaitServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the server does not answer %s after its start", startTimeout))
	defer cancel()
	for {
		err := e.admin.PingContext(ctx)
		if err == nil {
			return nil
		}
		if wait(ctx, pollServer) != nil {
			return fmt.Errorf("wait for the server: %w (%w)", context.Cause(ctx), err)
		}
	}
}

// mark notes durably that the data may go. A seed that is under way keeps its mark.
func (e *Engine) mark(donor replication.NodeID) error {
	if under, err := e.SeedState(); err != nil || under != nil {
		return err
	}
	mark, err := json.Marshal(replication.SeedMark{Donor: donor, Started: e.Now().UTC()})
	if err != nil {
		return err
	}
	return foreign.WriteFile(filepath.Dir(e.DataDir), filepath.Base(e.DataDir)+markSuffix, mark)
}

// SeedState returns the mark of a seed under way.
func (e *Engine) SeedState() (*replication.SeedMark, error) {
	raw, err := foreign.ReadFile(filepath.Dir(e.DataDir), filepath.Base(e.DataDir)+markSuffix, maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no seed is under way
	}
	var mark replication.SeedMark
	if err == nil {
		err = json.Unmarshal(raw, &mark)
	}
	if err != nil {
		return nil, fmt.Errorf("read the mark of a seed: %w", err)
	}
	if mark.Placed, err = foreign.Exists(e.DataDir, seedFile); err != nil {
		return nil, fmt.Errorf("look for the copy: %w", err)
	}
	return &mark, nil
}

// mostFiles is how many files mariadb-backup may have open at once, where the
// machine allows as many.
const mostFiles = 1 << 20

// backup runs mariadb-backup, which has a file open for each table of InnoDB.
func backup(ctx context.Context, as foreign.Account, out io.Writer, args ...string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("find out how many files may be open: %w", err)
	}
	// It starts with the soft limit, mostly 1024, and raises it by itself only if
	// it is set to. What is above the hard limit it does not get at all.
	files := "--open-files-limit=" + strconv.FormatUint(min(limit.Max, mostFiles), 10)
	return tool(ctx, as, nil, out, "mariadb-backup", append([]string{"--no-defaults", files}, args...)...)
}

// tool runs a program of MariaDB as an account. The last lines that it printed are in the error.
func tool(ctx context.Context, as foreign.Account, in io.Reader, out io.Writer, name string, args ...string) error {
	var said bytes.Buffer
	cmd := as.Command(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &said
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	return nil
}

// counter tells how many bytes were read, every few megabytes.
type counter struct {
	from io.Reader
	tell func(int64)

	total, shown int64
}

// tellEvery is how many bytes go between two calls of a progress function.
const tellEvery = 8 << 20

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.total += int64(n)
	if c.tell != nil && (c.total-c.shown >= tellEvery || err != nil && c.total > c.shown) {
		c.shown = c.total
		c.tell(c.total)
	}
	return n, err
}
