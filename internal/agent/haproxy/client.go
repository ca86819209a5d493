package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// maxAnswer bounds an answer: "show stat" takes about 1 KiB a server.
	maxAnswer = 16 << 20
	// answerTimeout bounds the wait for an answer; a healthy process gives it
	// at once.
	answerTimeout = 5 * time.Second
	// reloadTimeout bounds a reload, whose answer waits for the new
	// configuration to be parsed and its sockets to be opened.
	reloadTimeout = time.Minute
)

// Client talks to a HAProxy in master-worker mode through its master socket.
// Commands for the worker go through the master too: it passes them to the
// current worker, where the worker's own socket may for a moment after a
// reload still be served by the former one.
type Client struct {
	// Socket is the path of the master socket.
	Socket string
}

// Unreachable tells that no master listens on the socket: it does not run, or
// not yet.
type Unreachable struct {
	Socket string
	Err    error
}

// Error says which socket did not answer and why.
func (e *Unreachable) Error() string {
	return fmt.Sprintf("connect to HAProxy's master at %s: %v", e.Socket, e.Err)
}

// Unwrap returns the reason.
func (e *Unreachable) Unwrap() error { return e.Err }

// Refused is HAProxy's answer to a command that it did not carry out.
type Refused struct {
	Command string
	// Answer is HAProxy's own text.
	Answer string
}

// Error returns the command and the first line of the answer.
func (e *Refused) Error() string {
	first, _, _ := strings.Cut(e.Answer, "\n")
	return fmt.Sprintf("HAProxy refused %q: %s", e.Command, first)
}

// Processes asks the master for its processes.
func (c Client) Processes(ctx context.Context) (Processes, error) {
	answer, err := c.ask(ctx, answerTimeout, "show proc")
	if err != nil {
		return Processes{}, err
	}
	return ParseProcesses(answer)
}

// Reload has the master read its configuration anew and fork a new worker. It
// returns once the new worker has its listeners or has failed to get them; in
// that case the former worker goes on.
func (c Client) Reload(ctx context.Context) (Reload, error) {
	answer, err := c.ask(ctx, reloadTimeout, "reload")
	if err != nil {
		return Reload{}, err
	}
	return ParseReload(answer)
}

// Info asks the current worker for its figures.
func (c Client) Info(ctx context.Context) (Info, error) {
	answer, err := c.ask(ctx, answerTimeout, "@1 show info")
	if err != nil {
		return Info{}, err
	}
	return ParseInfo(answer)
}

// Stats asks the current worker for the figures of all frontends, backends and servers.
func (c Client) Stats(ctx context.Context) ([]Stat, error) {
	answer, err := c.ask(ctx, answerTimeout, "@1 show stat")
	if err != nil {
		return nil, err
	}
	return ParseStats(answer)
}

// Servers asks the current worker for the state of all servers.
func (c Client) Servers(ctx context.Context) ([]Server, error) {
	answer, err := c.ask(ctx, answerTimeout, "@1 show servers state")
	if err != nil {
		return nil, err
	}
	return ParseServers(answer)
}

// Set has the current worker carry out a command that answers nothing when it
// succeeds, such as "set server web/web1 weight 10". Any answer is a [Refused].
func (c Client) Set(ctx context.Context, command string) error {
	answer, err := c.ask(ctx, answerTimeout, "@1 "+command)
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "" {
		return &Refused{Command: command, Answer: answer}
	}
	return nil
}

// ask sends one command on a connection of its own and reads to the end.
func (c Client) ask(ctx context.Context, limit time.Duration, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if strings.ContainsAny(command, "\n;") {
		return "", fmt.Errorf("ask HAProxy %q: a command must not hold a line break or a semicolon", command)
	}
	var dialer net.Dialer
	dialed, err := dialer.DialContext(ctx, "unix", c.Socket)
	if err != nil {
		return "", &Unreachable{Socket: c.Socket, Err: errors.Unwrap(err)}
	}
	defer func() { _ = dialed.Close() }()
	conn, ok := dialed.(*net.UnixConn)
	if !ok {
		return "", fmt.Errorf("ask HAProxy: %T is no Unix socket", dialed)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answer, err := exchange(conn, command)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return "", fmt.Errorf("ask HAProxy %q: %w", command, err)
	}
	return answer, nil
}

func exchange(conn *net.UnixConn, command string) (string, error) {
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	// Else the master waits for the worker's next command and never ends the answer.
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	if err != nil {
		return "", err
	}
	if len(answer) > maxAnswer {
		return "", fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return string(answer), nil
}
