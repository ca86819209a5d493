package dbreplication

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/api"
	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// script answers calls one after the other.
type script struct {
	answers []error
	status  []int
	calls   int
}

func (s *script) ReplicationCall(_ context.Context, _, _, _ string, _, _ any) (int, error) {
	i := min(s.calls, len(s.answers)-1)
	s.calls++
	return s.status[i], s.answers[i]
}

func (*script) ReplicationCopy(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("copy")), nil
}

// leap is a clock of which each sleep ends at once, until there were enough.
type leap struct{ left int }

func (*leap) Now() time.Time { return time.Unix(0, 0) }

func (l *leap) Sleep(context.Context, time.Duration) error {
	if l.left--; l.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestAnOrderIsGivenUntilItIsDone(t *testing.T) {
	lost := &client.Unreachable{Machine: "web2", Err: errors.New("no route")}
	stops := interrupted()
	no := &api.Problem{Type: api.ProblemInternal, Title: "No"}
	for name, test := range map[string]struct {
		answers []error
		status  []int
		calls   int
		waits   int
		want    string
	}{
		"done":             {[]error{nil}, []int{http.StatusOK}, 1, 0, ""},
		"done after while": {[]error{nil, nil, nil}, []int{http.StatusAccepted, http.StatusAccepted, http.StatusOK}, 3, 2, ""},
		"over a lost line": {[]error{lost, stops, nil}, []int{0, 0, http.StatusOK}, 3, 0, ""},
		"refused":          {[]error{no}, []int{0}, 1, 0, "No"},
		"never answered":   {[]error{lost}, []int{0}, 6, 0, "no route"},
		"never done":       {[]error{nil}, []int{http.StatusAccepted}, 6, 6, "still at it"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{answers: test.answers, status: test.status}
			waited := 0
			r := remote{
				id: "web2", dial: func(replication.NodeID, api.DBPeer) (Caller, error) { return s, nil }, clock: &leap{left: 5},
				waits: func(context.Context, *remote, replication.Order) { waited++ },
			}
			err := r.Do(t.Context(), replication.Order{})
			if s.calls != test.calls || waited != test.waits || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d calls, waited %d times, %v", s.calls, waited, err)
			}
		})
	}
}

func TestTheWayToAMachine(t *testing.T) {
	dial := Over(client.NewPool(client.Credentials{}, client.Options{}))
	if _, err := dial("web2", api.DBPeer{Address: "10.0.0.2:9443"}); err != nil {
		t.Error(err)
	}
	wrong := &remote{id: "web2", peer: api.DBPeer{Address: "nowhere:"}, dial: dial, clock: &leap{}}
	if _, err := wrong.Observe(t.Context()); err == nil {
		t.Error("an address that is none is looked at")
	}
	if err := wrong.Do(t.Context(), replication.Order{}); err == nil {
		t.Error("an address that is none is given orders")
	}
	if _, err := wrong.Copy(t.Context()); err == nil {
		t.Error("an address that is none is copied")
	}
}

func TestALockThatWasLeftBehindIsTakenBack(t *testing.T) {
	r := newRack(t, "web1", "web2")
	spec := r.spec("web2")
	r.must(nil, &spec)
	web1, web2 := r.machines["web1"].node, r.machines["web2"].node
	by := api.DBCaller{Node: "web1"}
	last := journal{web1.Dir("notes")}.last(t.Context())
	if err := web2.Lock(t.Context(), "notes", by, last); err != nil || last == "" {
		t.Fatal(last, err)
	}
	web2DB := r.machines["web2"].rackDB
	web2DB.stopped = true
	r.must(&spec, &spec)

	if err := web2.LockOwn(t.Context(), "notes", "another"); err != nil {
		t.Fatal(err)
	}
	web2DB.stopped = true
	if _, err := r.apply(t.Context(), &spec, &spec); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a lock that is another's: %v", err)
	}
}

// endless is looked at until the context ends.
type endless struct{}

func (endless) Observe(ctx context.Context) (replication.NodeView, error) {
	<-ctx.Done()
	return replication.NodeView{}, context.Cause(ctx)
}

func TestAMachineIsNotWaitedForTooLong(t *testing.T) {
	if _, err := (hasty{Observer: endless{}, limit: time.Millisecond}).Observe(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer in 1ms") {
		t.Errorf("the error is %v", err)
	}
}

func TestAPartThatWasNotReportedIsNotObservable(t *testing.T) {
	r := newRack(t, "web1", "web2")
	parts := r.machines["web1"].node
	if _, err := (own{parts: parts, name: "notes"}).Observe(t.Context()); err == nil {
		t.Error("a part that is none is looked at")
	}
	r.enlist(r.spec("web2"))
	view, err := own{parts: parts, name: "notes"}.Observe(t.Context())
	if err != nil || view.Unobservable == nil {
		t.Errorf("%+v, %v", view, err)
	}
}
