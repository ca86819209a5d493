package identity_test

import (
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/client"
)

func TestClockRule(t *testing.T) {
	long := time.Date(1970, time.January, 1, 0, 1, 0, 0, time.UTC)
	future := time.Date(2099, time.January, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		machine, run time.Time
		enrols       bool
	}{
		"both right":                      {now(), now(), true},
		"the machine's in 1970":           {long, now(), true},
		"the machine's before its build":  {built().Add(-time.Second), now(), true},
		"the machine's in 2099":           {future, now(), false},
		"the machine's behind":            {now().Add(-59 * time.Minute), now(), true},
		"the machine's far behind":        {now().Add(-61 * time.Minute), now(), false},
		"the machine's a little ahead":    {now().Add(14 * time.Minute), now(), true},
		"the machine's ahead":             {now().Add(16 * time.Minute), now(), false},
		"the run's certificate is future": {now(), now().Add(2 * time.Hour), false},
		"the run's certificate has ended": {now(), now().Add(-time.Hour), false},
	} {
		t.Run(name, func(t *testing.T) {
			m := unboxed(t, bootstrap(t, 1))
			m.now = at(test.machine)
			m.boot()
			r := newRun()
			r.now = at(test.run)
			_, err := r.call(m).Enroll(t.Context())
			if test.enrols {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			both(t, err, test.run, test.machine)
			if m.id.Facts().Enrolled {
				t.Error("the machine is enrolled")
			}
		})
	}
}

// both checks that an error names both clocks.
func both(t *testing.T, err error, ours, theirs time.Time) {
	t.Helper()
	text := as[*client.ClockMismatch](t, err).Error()
	for _, clock := range []time.Time{ours, theirs} {
		if !strings.Contains(text, clock.Format(time.RFC3339)) {
			t.Errorf("%q does not name %s", text, clock.Format(time.RFC3339))
		}
	}
}

func TestEnrolledMachineForgivesNoClock(t *testing.T) {
	m := booted(t, bootstrap(t, 1))
	newRun().enroll(m)
	for _, wrong := range []time.Time{time.Unix(60, 0).UTC(), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)} {
		m.now = at(wrong)
		before := m.handled.Load()
		_, err := newRun().call(m).Health(t.Context())
		both(t, err, now(), wrong)
		if m.handled.Load() != before {
			t.Error("the call was handled")
		}
	}
}

func TestWrongClockEnrolsAndThenWaitsForTheRightOne(t *testing.T) {
	m := unboxed(t, bootstrap(t, 1))
	m.now = at(time.Unix(60, 0).UTC())
	m.boot()
	enrolled := newRun().enroll(m)
	_, err := newRun().call(m).Health(t.Context())
	both(t, err, now(), time.Unix(60, 0).UTC())
	m.now = now
	if _, err := newRun().call(m).Health(t.Context()); err != nil {
		t.Error(err)
	}
	if again := newRun().enroll(m); again != enrolled {
		t.Errorf("got %+v, want %+v", again, enrolled)
	}
}
