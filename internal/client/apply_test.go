package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/pki"
)

const appPath = "/v1/app-server/shop"

func change() client.Change {
	return client.Change{
		ID: api.ID{Kind: api.KindAppServer, Name: "shop"}, Base: 3,
		Write: api.Write{
			Spec:           []byte("{ \"port\": 80,\n \"path\": \"<a>\" }"),
			Secrets:        map[string]api.Secret{"TOKEN": "s3cret"},
			TimeoutSeconds: 60,
		},
	}
}

// job is an operation that a fake agent carries out.
type job struct {
	mu     sync.Mutex
	op     api.Operation
	events []api.Event
	// changed is closed and made anew whenever something happens.
	changed chan struct{}
}

func newJob() *job {
	return &job{op: api.Operation{ID: "op", State: api.OperationRunning}, changed: make(chan struct{})}
}

func (j *job) update(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	close(j.changed)
	j.changed = make(chan struct{})
}

// event adds an event.
func (j *job) event(message string) {
	j.update(func() {
		j.events = append(j.events, api.Event{Seq: int64(len(j.events) + 1), Phase: api.PhaseSwap, Message: message})
	})
}

// end ends the operation.
func (j *job) end(state api.OperationState, p *api.Problem) {
	j.update(func() { j.op.State, j.op.Problem, j.op.Generation = state, p, 4 })
}

func (j *job) operation() api.Operation {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.op
}

// poll answers as an agent does: with what is new, or once there is, or once
// the operation is done.
func (j *job) poll(r *http.Request) api.Events {
	var after int
	_, _ = fmt.Sscan(r.URL.Query().Get("after"), &after)
	for {
		j.mu.Lock()
		news, changed, done := j.events[min(after, len(j.events)):], j.changed, j.op.State.Done()
		j.mu.Unlock()
		if len(news) > 0 || done || r.URL.Query().Get("wait") == "0" {
			return api.Events{Events: news}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return api.Events{}
		}
	}
}

// serve has a fake agent answer for the job.
func (j *job) serve(f *fake) {
	f.handle("PUT "+appPath, func(*http.Request, string) (any, error) { return j.operation(), nil })
	f.handle("DELETE "+appPath, func(*http.Request, string) (any, error) { return j.operation(), nil })
	f.handle("GET /v1/operations/op", func(*http.Request, string) (any, error) { return j.operation(), nil })
	f.handle("GET /v1/operations/op/events", func(r *http.Request, _ string) (any, error) { return j.poll(r), nil })
}

func TestApplyTellsEachEventOnceAndInOrder(t *testing.T) {
	f, j := newFake(t), newJob()
	j.serve(f)
	j.event("1")
	var shown []string
	op, err := call(t, f.target(), options()).Apply(t.Context(), change(), func(e api.Event) {
		shown = append(shown, e.Message)
		if n := len(shown); n < 5 {
			j.event(fmt.Sprint(n + 1))
		} else if n == 5 {
			j.end(api.OperationApplied, nil)
			j.event("last") // after the end was there to see
		}
	})
	if err != nil || op.Generation != 4 || strings.Join(shown, " ") != "1 2 3 4 5 last" {
		t.Errorf("got %+v, %v, events %v", op, err, shown)
	}
}

func TestEventsThatComeAgainAreNotReportedAgain(t *testing.T) {
	f, j := newFake(t), newJob()
	all := api.Events{Events: []api.Event{{Seq: 1, Message: "1"}, {Seq: 2, Message: "2"}}}
	looks := 0
	f.handle("PUT "+appPath, func(*http.Request, string) (any, error) { return j.operation(), nil })
	f.handle("GET /v1/operations/op/events", func(*http.Request, string) (any, error) { return all, nil })
	f.handle("GET /v1/operations/op", func(*http.Request, string) (any, error) {
		if looks++; looks == 3 {
			j.end(api.OperationApplied, nil)
		}
		return j.operation(), nil
	})
	var shown []string
	_, err := call(t, f.target(), options()).Apply(t.Context(), change(), func(e api.Event) { shown = append(shown, e.Message) })
	if err != nil || strings.Join(shown, " ") != "1 2" {
		t.Errorf("got %v, events %v", err, shown)
	}
}

func TestApplySendsWhatItsIdIsMadeOf(t *testing.T) {
	f, j := newFake(t), newJob()
	j.end(api.OperationApplied, nil)
	j.serve(f)
	if _, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil {
		t.Fatal(err)
	}
	calls, bodies := f.requests(http.MethodPut)
	if len(calls) != 1 {
		t.Fatalf("%d calls", len(calls))
	}
	var write api.Write
	if err := api.Decode([]byte(bodies[0]), &write); err != nil {
		t.Fatal(err)
	}
	if write.Secrets["TOKEN"].Reveal() != "s3cret" || write.TimeoutSeconds != 60 {
		t.Errorf("got %s", bodies[0])
	}
	h := calls[0].Header
	if want := api.OperationID(api.VerbApply, change().ID, 3, write.Spec, ""); h.Get(api.HeaderOperation) != want {
		t.Errorf("the operation's id is %s, that of the spec as sent %s", h.Get(api.HeaderOperation), want)
	}
	if h.Get(api.HeaderGeneration) != "3" || h.Get(api.HeaderMachine) != "web1" || h.Get("Content-Type") != "application/json" {
		t.Errorf("got %v", h)
	}
}

func TestDeleteSendsNeitherSpecNorSecrets(t *testing.T) {
	f, j := newFake(t), newJob()
	j.end(api.OperationApplied, nil)
	j.serve(f)
	deletion := change()
	deletion.Write.Forget = []string{"web3"}
	if _, err := call(t, f.target(), options()).Delete(t.Context(), deletion, nil); err != nil {
		t.Fatal(err)
	}
	calls, bodies := f.requests(http.MethodDelete)
	if want := api.OperationID(api.VerbDelete, change().ID, 3, nil, ""); len(calls) != 1 || calls[0].Header.Get(api.HeaderOperation) != want || bodies[0] != `{"timeout_seconds":60,"forget":["web3"]}` {
		t.Errorf("got %v %v", calls, bodies)
	}
}

func TestPlanSendsNoSecrets(t *testing.T) {
	f := newFake(t)
	f.handle("POST "+appPath+":plan", func(*http.Request, string) (any, error) {
		return `{"impact":"reload","from_a_later_release":1}`, nil
	})
	plan, err := call(t, f.target(), options()).Plan(t.Context(), change().ID, 3, change().Write)
	if err != nil || plan.Impact != api.ImpactReload {
		t.Errorf("got %+v, %v", plan, err)
	}
	calls, bodies := f.requests(http.MethodPost)
	if len(calls) != 1 || strings.Contains(bodies[0], "TOKEN") || calls[0].Header.Get(api.HeaderGeneration) != "3" {
		t.Errorf("got %v %v", calls, bodies)
	}
}

func TestFailedOperationIsItsProblem(t *testing.T) {
	f, j := newFake(t), newJob()
	j.serve(f)
	j.event("tried")
	j.end(api.OperationFailed, &api.Problem{Type: api.ProblemRolledBack, Title: "It did not become healthy"})
	var shown int
	_, err := call(t, f.target(), options()).Apply(t.Context(), change(), func(api.Event) { shown++ })
	if !api.IsProblem(err, api.ProblemRolledBack) || shown != 1 {
		t.Errorf("got %v after %d events", err, shown)
	}
}

func TestRefusedWriteIsItsProblem(t *testing.T) {
	f := newFake(t)
	f.handle("PUT "+appPath, func(*http.Request, string) (any, error) {
		return nil, &api.Problem{Type: api.ProblemGeneration, Title: "Somebody else was faster"}
	})
	_, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil)
	if !api.IsProblem(err, api.ProblemGeneration) {
		t.Errorf("got %v", err)
	}
}

func TestApplyEndsWithoutEvents(t *testing.T) {
	for name, poll := range map[string]func(*http.Request, string) (any, error){
		"the poll hangs":         func(r *http.Request, _ string) (any, error) { <-r.Context().Done(); return nil, errCut },
		"the poll breaks off":    func(*http.Request, string) (any, error) { return nil, errCut },
		"the poll fails":         func(*http.Request, string) (any, error) { return nil, errors.New("no journal") },
		"the poll is never new":  func(*http.Request, string) (any, error) { return api.Events{}, nil },
		"the poll is not to use": func(*http.Request, string) (any, error) { return "<html>", nil },
	} {
		t.Run(name, func(t *testing.T) {
			f, j := newFake(t), newJob()
			looks := 0
			f.handle("PUT "+appPath, func(*http.Request, string) (any, error) { return j.operation(), nil })
			f.handle("GET /v1/operations/op/events", poll)
			f.handle("GET /v1/operations/op", func(*http.Request, string) (any, error) {
				if looks++; looks == 3 {
					j.end(api.OperationApplied, nil)
				}
				return j.operation(), nil
			})
			if op, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil || op.State != api.OperationApplied {
				t.Errorf("got %+v, %v", op, err)
			}
		})
	}
}

func TestLostAnswerIsAskedForAgain(t *testing.T) {
	f, j := newFake(t), newJob()
	j.end(api.OperationApplied, nil)
	var tries atomic.Int64
	f.handle("PUT "+appPath, func(*http.Request, string) (any, error) {
		if tries.Add(1) < 3 {
			return nil, errCut
		}
		return j.operation(), nil
	})
	if _, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil {
		t.Fatal(err)
	}
	calls, _ := f.requests(http.MethodPut)
	ids := map[string]bool{}
	for _, r := range calls {
		ids[r.Header.Get(api.HeaderOperation)] = true
	}
	if len(calls) < 3 || len(ids) != 1 {
		t.Errorf("%d calls with ids %v", len(calls), ids)
	}
}

func TestWriteThatMayHaveArrivedIsPatient(t *testing.T) {
	f, j := newFake(t), newJob()
	j.end(api.OperationApplied, nil)
	ctx, over := context.WithCancel(t.Context())
	var refused atomic.Int64
	var once sync.Once
	arrived, tried := make(chan struct{}), make(chan struct{})
	f.handle("PUT "+appPath, func(*http.Request, string) (any, error) {
		first := false
		once.Do(func() { first = true })
		if !first {
			return j.operation(), nil
		}
		close(arrived)
		<-either(ctx.Done(), tried) // the connection is gone by then, and others were refused
		return nil, errCut
	})
	o := options()
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil && refused.Add(1) == 3 {
			close(tried)
		}
		return conn, err
	}
	var restart sync.WaitGroup
	restart.Go(func() {
		<-either(ctx.Done(), arrived)
		f.stop()
		<-either(ctx.Done(), tried)
		f.start()
	})
	_, err := call(t, f.target(), o).Apply(ctx, change(), nil)
	over()
	restart.Wait()
	if err != nil {
		t.Error(err)
	}
}

// either returns a channel that is closed once one of two is.
func either(one <-chan struct{}, other <-chan struct{}) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		select {
		case <-one:
		case <-other:
		}
	}()
	return closed
}

func TestApplyOutlivesARestart(t *testing.T) {
	f, j := newFake(t), newJob()
	j.serve(f)
	m := call(t, f.target(), options())
	var once sync.Once
	restarted := make(chan struct{})
	j.event("1")
	op, err := m.Apply(t.Context(), change(), func(api.Event) {
		once.Do(func() {
			go func() {
				defer close(restarted)
				f.stop()
				j.end(api.OperationApplied, nil)
				f.start()
			}()
		})
	})
	<-restarted
	if err != nil || op.State != api.OperationApplied {
		t.Errorf("got %+v, %v", op, err)
	}
}

func TestBrokenOffOperationIsRunAgain(t *testing.T) {
	interrupted := &api.Problem{Type: api.ProblemInterrupted, Title: "The agent stopped"}
	t.Run("until it ends", func(t *testing.T) {
		f, j := newFake(t), newJob()
		var runs atomic.Int64
		f.handle("PUT "+appPath, func(*http.Request, string) (any, error) {
			if runs.Add(1) == 3 {
				j.end(api.OperationApplied, nil)
			} else {
				j.end(api.OperationFailed, interrupted)
			}
			return j.operation(), nil
		})
		if _, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil || runs.Load() != 3 {
			t.Errorf("got %v after %d runs", err, runs.Load())
		}
	})
	t.Run("but not for ever", func(t *testing.T) {
		f, j := newFake(t), newJob()
		j.end(api.OperationFailed, interrupted)
		j.serve(f)
		_, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil)
		if calls, _ := f.requests(http.MethodPut); !api.IsProblem(err, api.ProblemInterrupted) || len(calls) != 4 {
			t.Errorf("got %v after %d runs", err, len(calls))
		}
	})
	t.Run("also one that the machine has forgotten", func(t *testing.T) {
		f, j := newFake(t), newJob()
		var runs atomic.Int64
		f.handle("PUT "+appPath, func(*http.Request, string) (any, error) {
			if runs.Add(1) == 2 {
				j.end(api.OperationApplied, nil)
			}
			return j.operation(), nil
		})
		f.handle("GET /v1/operations/op", func(*http.Request, string) (any, error) {
			return nil, &api.Problem{Type: api.ProblemNotFound, Title: "There is no such operation"}
		})
		if _, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil || runs.Load() != 2 {
			t.Errorf("got %v after %d runs", err, runs.Load())
		}
	})
}

func TestMachineThatWasNeverReachedFailsAtOnce(t *testing.T) {
	f := newFake(t)
	f.stop()
	_, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil)
	if lost := as[*client.Unreachable](t, err); lost.Sent || lost.Machine != "web1" || lost.Address != f.address {
		t.Errorf("got %+v", lost)
	}
}

func TestWhoeverStopsWatchingIsReportedThatItGoesOn(t *testing.T) {
	f, j := newFake(t), newJob()
	j.serve(f)
	j.event("1")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := call(t, f.target(), options()).Apply(ctx, change(), func(api.Event) { cancel() })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "app-server/shop, which goes on on machine web1") {
		t.Errorf("got %v", err)
	}
}

func TestWriteRenewsACertificateThatIsAYearOld(t *testing.T) {
	later := options()
	later.Now = func() time.Time { return now().Add(366 * 24 * time.Hour) }
	f, j := newFakeAt(t, later.Now), newJob()
	j.end(api.OperationApplied, nil)
	j.serve(f)
	f.handle("POST /v1/identity:renew", func(*http.Request, string) (any, error) { return api.Enrolled{}, nil })
	m := call(t, f.target(), later)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := m.Apply(t.Context(), change(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	calls, bodies := f.requests(http.MethodPost)
	if len(calls) != 1 {
		t.Fatalf("it was renewed %d times", len(calls))
	}
	var given api.Certification
	if err := api.Decode([]byte(bodies[0]), &given); err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.ParseCertificate(given.Chain[0])
	if err != nil || pki.KeyPin(leaf) != pki.KeyPin(f.leaf()) || len(given.CA) != 1 {
		t.Errorf("got %s, %v", bodies[0], err)
	}
}

func TestWriteLeavesAYoungCertificateAlone(t *testing.T) {
	f, j := newFake(t), newJob()
	j.end(api.OperationApplied, nil)
	j.serve(f)
	if _, err := call(t, f.target(), options()).Apply(t.Context(), change(), nil); err != nil {
		t.Fatal(err)
	}
	if calls, _ := f.requests(http.MethodPost); len(calls) != 0 {
		t.Errorf("got %v", calls)
	}
}
