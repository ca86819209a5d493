package client_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

// everyCall is what can be asked again without harm.
func everyCall(m *client.Machine) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"health": func(ctx context.Context) error { _, err := m.Health(ctx); return err },
		"get": func(ctx context.Context) error {
			_, err := m.Get(ctx, change().ID)
			return err
		},
		"operation": func(ctx context.Context) error { _, err := m.Operation(ctx, "op"); return err },
		"plan": func(ctx context.Context) error {
			_, err := m.Plan(ctx, change().ID, 3, change().Write)
			return err
		},
		"apply":  func(ctx context.Context) error { _, err := m.Apply(ctx, change(), nil); return err },
		"delete": func(ctx context.Context) error { _, err := m.Delete(ctx, change(), nil); return err },
	}
}

// serveAll has a fake agent answer every call of everyCall, losing the first
// answers.
func serveAll(f *fake, lost int64) {
	j := newJob()
	j.end(api.OperationApplied, nil)
	var calls atomic.Int64
	for pattern, answer := range map[string]any{
		"PUT " + appPath: j.operation(), "DELETE " + appPath: j.operation(), "POST " + appPath + ":plan": api.Plan{Impact: api.ImpactNone},
		"GET " + appPath: api.Component{}, "GET /v1/operations/op": j.operation(), "GET /v1/operations/op/events": api.Events{},
	} {
		f.handle(pattern, func(*http.Request, string) (any, error) {
			if calls.Add(1) <= lost {
				return nil, errCut
			}
			return answer, nil
		})
	}
}

// failing returns a way to dial whose first tries end with an error.
func failing(tries int64, with error, dials *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) <= tries {
			return nil, &net.OpError{Op: "dial", Net: network, Err: with}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// patientOptions are those of a caller that waits for a restart.
func patientOptions() client.Options {
	o := options()
	o.RestartPatience = 20 * time.Second // ends early, with the first answer
	return o
}

func TestAnAgentThatRestartsIsAskedAgain(t *testing.T) {
	for name := range everyCall(nil) {
		t.Run("refused: "+name, func(t *testing.T) {
			f := newFake(t)
			serveAll(f, 0)
			o := patientOptions()
			var dials atomic.Int64
			o.Dial = failing(3, syscall.ECONNREFUSED, &dials)
			if err := everyCall(call(t, f.target(), o))[name](t.Context()); err != nil {
				t.Error(err)
			}
		})
		t.Run("no answer: "+name, func(t *testing.T) {
			f := newFake(t)
			serveAll(f, 2)
			if err := everyCall(call(t, f.target(), patientOptions()))[name](t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPatienceIsForRestartsAlone(t *testing.T) {
	for name, fault := range map[string]error{
		"no route": syscall.EHOSTUNREACH, "network down": syscall.ENETUNREACH, "no answer in time": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int64
			o := patientOptions()
			o.Dial = failing(1<<30, fault, &dials)
			isA[*client.Unreachable](t, everyCall(call(t, newFake(t).target(), o))["get"](t.Context()))
			if dials.Load() != 1 {
				t.Errorf("%d tries", dials.Load())
			}
		})
	}
}

func TestPatienceIsSharedByAllCallsOfAMachine(t *testing.T) {
	f := newFake(t)
	serveAll(f, 0)
	var dials atomic.Int64
	o := patientOptions()
	o.RestartPatience = time.Hour // on the clock of the options, which every try takes on by 20 minutes
	o.Now = func() time.Time { return now().Add(time.Duration(dials.Load()) * 20 * time.Minute) }
	o.Dial = failing(1<<30, syscall.ECONNREFUSED, &dials)
	m := call(t, f.target(), o)
	isA[*client.Unreachable](t, everyCall(m)["get"](t.Context()))
	before := dials.Load()
	if before != 4 { // at 0, 20, 40 and 60 minutes after the first
		t.Errorf("%d tries of the first call", before)
	}
	for range 5 {
		isA[*client.Unreachable](t, everyCall(m)["get"](t.Context()))
	}
	if tries := dials.Load() - before; tries != 5 {
		t.Errorf("%d tries of five calls once the machine counts as down", tries)
	}
}

func TestAWriteThatWasLostStaysOneThatMayHaveArrived(t *testing.T) {
	f := newFake(t)
	serveAll(f, 1<<30)
	var dials atomic.Int64
	o := patientOptions()
	o.RestartPatience = 30 * time.Second
	o.Now = func() time.Time { return now().Add(time.Duration(dials.Load()) * 20 * time.Second) }
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	lost := as[*client.Unreachable](t, everyCall(call(t, f.target(), o))["get"](t.Context()))
	if !lost.Sent {
		t.Error(fmt.Sprint("it is reported as never sent: ", lost))
	}
}
