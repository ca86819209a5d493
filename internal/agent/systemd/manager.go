// Package systemd talks to the machine's service manager: units over D-Bus,
// accounts through systemd-sysusers.
package systemd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	unit "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// socket is systemd's own D-Bus socket, for root only. It needs no bus daemon,
// so it works early at boot and while the bus restarts.
const socket = "unix:path=/run/systemd/private"

// Status is what systemd knows of a unit. The words are systemd's own, see
// org.freedesktop.systemd1(5).
type Status struct {
	// LoadState is "loaded", "not-found", "bad-setting", "error" or "masked".
	LoadState string
	// ActiveState is "active", "reloading", "inactive", "failed",
	// "activating" or "deactivating"; SubState is finer.
	ActiveState string
	SubState    string
	// UnitFileState is "enabled", "disabled", "static", "masked", … and empty
	// for a unit without a file.
	UnitFileState string
	// MainPID is 0 when no process runs; NRestarts counts the automatic
	// restarts since the unit was started. Both are 0 for what is no service.
	MainPID   int
	NRestarts int
	// MainStarted is when the last process of the service began, zero if none did.
	MainStarted time.Time
	// InvocationID is another one whenever the unit was started anew, "" for
	// what has not been started.
	InvocationID string
	// Result is why the unit failed, such as "exit-code"; else "success".
	Result string
	// ExitStatus is what the main process exited with last, 0 if a signal ended it or it
	// runs. From 200 on it may be systemd's own, of what it does before the program
	// begins: systemd.exec(5), "Process Exit Codes".
	ExitStatus int
	// NeedDaemonReload tells that the unit's files changed since systemd read them.
	NeedDaemonReload bool
	// DropIns are the paths of the files that amend the unit's own.
	DropIns []string
	// StopTimeout is how long systemd lets the unit end by itself before it kills it,
	// [MaxStopTimeout] at most; 0 for what is no service.
	StopTimeout time.Duration
}

// MaxStopTimeout is the longest stop of a unit that somebody waits for: systemd may be
// told to wait for ever.
const MaxStopTimeout = 24 * time.Hour

// Missing reports whether there is no such unit: systemd has no file of it, and
// nothing of it runs. One that starts, ends or waits for its next start is there, also
// without a file.
func (s Status) Missing() bool {
	return s.LoadState == "not-found" && (s.ActiveState == "inactive" || s.ActiveState == "failed" || s.ActiveState == "")
}

// Active reports whether the unit runs.
func (s Status) Active() bool { return s.ActiveState == "active" || s.ActiveState == "reloading" }

// JobError tells that systemd did not do what it was asked for.
type JobError struct {
	// Verb is "start", "stop", "restart" or "reload", Unit the unit's name.
	Verb, Unit string
	// Job is the job's result: "failed", "timeout", "canceled",
	// "dependency", "skipped" or "assert".
	Job string
	// Result is the unit's own result, such as "exit-code" or "timeout".
	Result string
	// ExitStatus is [Status.ExitStatus].
	ExitStatus int
}

func (e *JobError) Error() string {
	text := fmt.Sprintf("%s %s: the job ended as %q", e.Verb, e.Unit, e.Job)
	if e.Result != "" && e.Result != "success" {
		text += fmt.Sprintf(", the unit's result is %q", e.Result)
	}
	return text
}

// Manager is the connection to systemd. It is made on first use and made anew
// when it is lost. Its methods may be called at the same time.
type Manager struct {
	mu   sync.Mutex
	conn *connection
}

// New returns a manager that is not connected yet.
func New() *Manager { return &Manager{} }

// connection is one life of the connection to systemd.
type connection struct {
	*unit.Conn
	// lost is closed when the connection is gone, so that nobody waits for
	// the result of a job that will never be known.
	lost <-chan struct{}
}

// Close ends the connection. The manager may be used again afterwards.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		m.conn.Close()
		m.conn = nil
	}
}

// connect returns the present connection or makes one.
func (m *Manager) connect() (*connection, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		return m.conn, nil
	}
	conn, err := dial()
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	m.conn = conn
	return conn, nil
}

// drop ends a connection that turned out to be lost.
func (m *Manager) drop(conn *connection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if conn != nil && m.conn == conn {
		m.conn.Close()
		m.conn = nil
	}
}

const (
	// retries and pause bound how long systemd may be away: it is while it
	// executes itself anew, as an upgrade has it do, for well below a second.
	retries = 50
	pause   = 100 * time.Millisecond
)

// ask calls systemd, again if the connection is lost. All that is asked for
// here can be asked for twice.
func (m *Manager) ask(ctx context.Context, what string, call func(*connection) error) error {
	for try := 0; ; try++ {
		conn, err := m.connect()
		if err == nil {
			err = call(conn)
		}
		if err == nil || !isLost(ctx, err) || try == retries {
			return wrap(what, err)
		}
		m.drop(conn)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// wrap says what was attempted, unless the error does already.
func wrap(what string, err error) error {
	if _, ok := errors.AsType[*JobError](err); ok || err == nil {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

var errLost = errors.New("the connection to systemd was lost")

// isLost tells a broken connection from an answer and from the caller's end.
func isLost(ctx context.Context, err error) bool {
	_, answered := errors.AsType[dbus.Error](err)
	_, ended := errors.AsType[*JobError](err)
	return !answered && !ended && ctx.Err() == nil
}

func dial() (*connection, error) {
	var signals *dbus.Conn // the library dials twice; the second one carries the jobs' results
	conn, err := unit.NewConnection(func() (*dbus.Conn, error) {
		c, err := dbus.Dial(socket)
		if err != nil {
			return nil, err
		}
		if err := c.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		signals = c
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, lost: signals.Context().Done()}, nil
}

// Start starts a unit and waits until systemd calls it started.
func (m *Manager) Start(ctx context.Context, name string) error {
	return m.job(ctx, "start", name, (*unit.Conn).StartUnitContext)
}

// Stop stops a unit and waits until it is stopped.
func (m *Manager) Stop(ctx context.Context, name string) error {
	return m.job(ctx, "stop", name, (*unit.Conn).StopUnitContext)
}

// Restart stops a unit if it runs, starts it and waits as [Manager.Start] does.
func (m *Manager) Restart(ctx context.Context, name string) error {
	return m.job(ctx, "restart", name, (*unit.Conn).RestartUnitContext)
}

// Reload has a running unit read its configuration and waits until it did.
func (m *Manager) Reload(ctx context.Context, name string) error {
	return m.job(ctx, "reload", name, (*unit.Conn).ReloadUnitContext)
}

type enqueue func(c *unit.Conn, ctx context.Context, name, mode string, result chan<- string) (int, error)

// job asks for a job and waits for its result. A cancelled wait leaves the
// job to systemd.
func (m *Manager) job(ctx context.Context, verb, name string, enqueue enqueue) error {
	return m.ask(ctx, verb+" "+name, func(conn *connection) error {
		result := make(chan string, 1) // buffered: the library blocks on a reader that left
		if _, err := enqueue(conn.Conn, ctx, name, "replace", result); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-conn.lost:
			return errLost
		case word := <-result:
			return m.resultOf(ctx, verb, name, word)
		}
	})
}

// resultOf turns a job's result into an error, with the unit's own result.
func (m *Manager) resultOf(ctx context.Context, verb, name, result string) error {
	if result == "done" {
		return nil
	}
	failure := &JobError{Verb: verb, Unit: name, Job: result}
	if status, err := m.Status(ctx, name); err == nil {
		failure.Result, failure.ExitStatus = status.Result, status.ExitStatus
	}
	return failure
}

// DaemonReload has systemd read all unit files again.
func (m *Manager) DaemonReload(ctx context.Context) error {
	return m.ask(ctx, "reload the unit files", func(conn *connection) error { return conn.ReloadContext(ctx) })
}

// Enable has units start at boot, lifting a mask that lies on them. It starts
// nothing; systemd knows of it after a [Manager.DaemonReload].
func (m *Manager) Enable(ctx context.Context, names ...string) error {
	const runtime, force = false, true
	return m.ask(ctx, fmt.Sprintf("enable %q", names), func(conn *connection) error {
		if _, err := conn.UnmaskUnitFilesContext(ctx, names, runtime); err != nil {
			return err
		}
		_, _, err := conn.EnableUnitFilesContext(ctx, names, runtime, force)
		return err
	})
}

// Disable has units no longer start at boot. Units that are unknown are
// disabled already. It stops nothing.
func (m *Manager) Disable(ctx context.Context, names ...string) error {
	return m.ask(ctx, fmt.Sprintf("disable %q", names), func(conn *connection) error {
		_, err := conn.DisableUnitFilesContext(ctx, names, false)
		return unlessUnknown(err)
	})
}

// ResetFailed forgets that a unit failed, and with it how often it was
// restarted. A unit that is unknown has nothing to forget.
func (m *Manager) ResetFailed(ctx context.Context, name string) error {
	return m.ask(ctx, "reset "+name, func(conn *connection) error {
		return unlessUnknown(conn.ResetFailedUnitContext(ctx, name))
	})
}

// Status asks for the state of a unit. A unit that does not exist is one
// whose LoadState is "not-found", not an error.
func (m *Manager) Status(ctx context.Context, name string) (Status, error) {
	var properties map[string]any
	err := m.ask(ctx, "ask for the state of "+name, func(conn *connection) (err error) {
		properties, err = conn.GetAllPropertiesContext(ctx, name)
		return err
	})
	return status(properties), err
}

// exitedByItself is CLD_EXITED of sigaction(2).
const exitedByItself = 1

// status picks what is of use from a unit's properties; those that a type of
// unit does not have stay zero.
func status(properties map[string]any) Status {
	text := func(name string) string { s, _ := properties[name].(string); return s }
	number := func(name string) int { n, _ := properties[name].(uint32); return int(n) }
	dropIns, _ := properties["DropInPaths"].([]string)
	invocation, _ := properties["InvocationID"].([]byte)
	reload, _ := properties["NeedDaemonReload"].(bool)
	stop, _ := properties["TimeoutStopUSec"].(uint64)
	var began time.Time
	if micros, _ := properties["ExecMainStartTimestamp"].(uint64); micros != 0 {
		began = time.UnixMicro(int64(micros)) //nolint:gosec // a time of the machine's clock
	}
	exited := 0
	if code, _ := properties["ExecMainCode"].(int32); code == exitedByItself {
		status, _ := properties["ExecMainStatus"].(int32)
		exited = int(status)
	}
	return Status{
		LoadState:     text("LoadState"),
		ActiveState:   text("ActiveState"),
		SubState:      text("SubState"),
		UnitFileState: text("UnitFileState"),
		MainPID:       number("MainPID"),
		NRestarts:     number("NRestarts"),
		MainStarted:   began,
		InvocationID:  hex.EncodeToString(invocation),
		Result:        text("Result"),
		ExitStatus:    exited,
		DropIns:       dropIns,

		NeedDaemonReload: reload,
		StopTimeout:      time.Duration(min(stop, uint64(MaxStopTimeout.Microseconds()))) * time.Microsecond, //nolint:gosec // it is small
	}
}

// unlessUnknown passes an error on unless systemd does not know the unit.
func unlessUnknown(err error) error {
	if failure, ok := errors.AsType[dbus.Error](err); ok {
		switch failure.Name {
		case "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.FileNotFound", "org.freedesktop.DBus.Error.UnknownObject":
			return nil
		}
	}
	return err
}
