package loadtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Apps is what the apps noted of requests, by id: how often one began to work on
// it, and how often one was done.
type Apps struct {
	Began, Done map[string]int
}

// Account compares what clients got with what apps noted.
type Account struct {
	// Sent and Failed count requests by method. Whatever is not 200 has failed.
	Sent, Failed map[string]int
	// Lost are requests that were answered with 200 and that no app was done with.
	Lost []Sent
	// Twice are POSTs that apps began to work on more than once.
	Twice []Sent
	// Failures are the requests that failed.
	Failures []Sent
	// Unseen are failed POSTs that no app had in flight: none began to work on it, and
	// no nginx had passed it on.
	Unseen []Sent
	// Longest is the longest time that a client waited, Median that of the middle, and
	// all but one in a hundred waited for P99 at most.
	Longest, Median, P99 time.Duration
}

// Count makes the account of what was sent.
func Count(all []Sent, apps Apps) Account {
	a := Account{Sent: map[string]int{}, Failed: map[string]int{}}
	took := make([]time.Duration, 0, len(all))
	for _, s := range all {
		a.Sent[s.Method]++
		took = append(took, s.Took())
		if s.Status != http.StatusOK {
			a.Failed[s.Method]++
			a.Failures = append(a.Failures, s)
			passed := s.Status == http.StatusBadGateway && strings.HasPrefix(s.By, "nginx")
			if s.Method == http.MethodPost && apps.Began[s.ID] == 0 && !passed {
				a.Unseen = append(a.Unseen, s)
			}
		} else if apps.Done[s.ID] == 0 {
			a.Lost = append(a.Lost, s)
		}
		if s.Method == http.MethodPost && apps.Began[s.ID] > 1 {
			a.Twice = append(a.Twice, s)
		}
	}
	if slices.Sort(took); len(took) > 0 {
		a.Longest, a.Median, a.P99 = took[len(took)-1], took[len(took)/2], took[len(took)*99/100]
	}
	return a
}

// InFlight reports whether a request was on its way at some time of a span.
func (s Sent) InFlight(from, to time.Time) bool {
	return !s.Began.After(to) && !s.Ended.Before(from)
}

// String is the account in one line.
func (a Account) String() string {
	return fmt.Sprintf("sent %v, failed %v, lost %d, POSTs begun twice %d, failed POSTs that no app had %d; median %s, p99 %s, longest %s",
		a.Sent, a.Failed, len(a.Lost), len(a.Twice), len(a.Unseen), a.Median.Round(time.Millisecond), a.P99.Round(time.Millisecond), a.Longest.Round(time.Millisecond))
}
