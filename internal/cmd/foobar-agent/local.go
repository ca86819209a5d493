package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
)

// socketPath is where the agent listens for who is root on the machine.
const socketPath = runtimeDir + "/agent.sock"

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 32 << 20

// local calls the agent of this machine.
type local struct{ http *http.Client }

func newLocal(socket string) local {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return local{&http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// get asks for path and decodes the answer into v. Its error is an
// [api.Problem] if the agent answered with one.
func (l local) get(ctx context.Context, path string, v any) error {
	return l.call(ctx, http.MethodGet, path, "", v)
}

// getPatiently is get from an agent that may be restarted meanwhile: it is asked again until
// it answers, or has been away for too long.
func (l local) getPatiently(ctx context.Context, path string, v any) error {
	for until := time.Now().Add(agentPatience); ; {
		err := l.get(ctx, path, v)
		_, answered := errors.AsType[*api.Problem](err)
		if err == nil || answered || time.Now().After(until) {
			return err
		}
		select {
		case <-time.After(agentPause):
		case <-ctx.Done():
			return err
		}
	}
}

// call makes a call for a machine, which only a change has to name. Nothing is
// decoded if v is nil.
func (l local) call(ctx context.Context, method, path, machine string, v any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil) //nolint:gosec // the host is the agent's socket, whatever the path is
	if err != nil {
		return err
	}
	if machine != "" {
		request.Header.Set(api.HeaderMachine, machine)
	}
	response, err := l.http.Do(request) //nolint:gosec // see above
	if err != nil {
		return fmt.Errorf("ask the agent on this machine (this takes root; is foobar-agent.service running?): %w", errors.Unwrap(err))
	}
	defer func() { _ = response.Body.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusAccepted {
		problem := new(api.Problem)
		if err := json.Unmarshal(data, problem); err != nil {
			return fmt.Errorf("the agent answered %s", response.Status)
		}
		return problem
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}
