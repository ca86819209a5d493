package replication_test

import (
	"strings"
	"testing"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

func TestMajority(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		if got := replication.Majority(n); got != want || 2*got <= n {
			t.Errorf("of %d it is %d, want %d", n, got, want)
		}
	}
}

func TestMayOpen(t *testing.T) {
	type answers = map[replication.NodeID]replication.Answer
	says := func(epoch uint64, primary replication.NodeID) replication.Answer {
		return replication.Answer{Record: replication.Record{Epoch: epoch, Primary: primary}}
	}
	silent := replication.Answer{Reason: "no route"}
	own := replication.Record{Epoch: 3, Primary: "a"}
	three, two, alone := []replication.NodeID{"a", "b", "w"}, []replication.NodeID{"a", "b"}, []replication.NodeID{"a"}
	for _, test := range []struct {
		name    string
		own     replication.Record
		voters  []replication.NodeID
		answers answers
		age     time.Duration
		open    bool
		reason  string
	}{
		{"all agree", own, three, answers{"b": says(3, "a"), "w": says(3, "a")}, 0, true, "3 of 3"},
		{"a majority is enough", own, three, answers{"b": silent, "w": says(3, "a")}, 0, true, "2 of 3"},
		{"an older epoch is support: it is remembered", own, three, answers{"b": silent, "w": says(2, "b")}, 0, true, "2 of 3"},
		{"one alone opens by itself", own, alone, nil, 0, true, "1 of 1"},
		{"two members need both", own, two, answers{"b": silent}, 0, false, "b does not answer: no route"},
		{"cut off from all", own, three, answers{"b": silent, "w": silent}, 0, false, "1 of 3 voters"},
		{"nobody was asked", own, three, nil, 0, false, "w was not asked"},
		{"a higher epoch wins over any majority", own, three, answers{"b": says(4, "b"), "w": says(3, "a")}, 0, false, "epoch 4 with primary b"},
		{"the end of the replication", own, three, answers{"b": says(3, ""), "w": says(3, "a")}, 0, false, "the end of the replication"},
		{"an end in a later epoch", own, three, answers{"b": says(4, ""), "w": says(3, "a")}, 0, false, "the end of the replication in epoch 4"},
		{"another primary of the same epoch", own, three, answers{"b": says(3, "b"), "w": says(3, "a")}, 0, false, "same epoch 3"},
		{"who has forgotten is no support", own, three, answers{"b": silent, "w": says(0, "")}, 0, false, "may have forgotten"},
		{"a replica stays fenced", replication.Record{Epoch: 3, Primary: "b"}, three, answers{"b": says(3, "b"), "w": says(3, "b")}, 0, false, "it is a replica"},
		{"no replication", replication.Record{}, three, answers{"b": says(3, "a")}, 0, false, "no replication has claimed"},
		{"a destroyed one", replication.Record{Epoch: 3}, three, answers{"b": says(3, "a"), "w": says(3, "a")}, 0, false, "was destroyed"},
		{"old answers", own, three, answers{"b": says(3, "a"), "w": says(3, "a")}, 3 * time.Second, false, "asking again"},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict := replication.MayOpen("a", test.own, test.voters, test.answers, test.age)
			if verdict.Open != test.open || !strings.Contains(verdict.String(), test.reason) {
				t.Errorf("it is %v, want %v for %q", verdict, test.open, test.reason)
			}
		})
	}
}

func TestAccept(t *testing.T) {
	record := func(epoch uint64, primary replication.NodeID) replication.Record {
		return replication.Record{Epoch: epoch, Primary: primary}
	}
	for _, test := range []struct {
		name          string
		have, propose replication.Record
		accepted      bool
	}{
		{"the first", record(0, ""), record(1, "a"), true},
		{"the same again", record(1, "a"), record(1, "a"), true},
		{"the next", record(1, "a"), record(2, "b"), true},
		{"the end", record(1, "a"), record(1, ""), true},
		{"a new life after the end", record(1, ""), record(2, "a"), true},
		{"none", record(0, ""), record(0, "a"), false},
		{"an old one", record(2, "a"), record(1, "a"), false},
		{"a second primary of an epoch", record(2, "a"), record(2, "b"), false},
		{"a life after the end in the same epoch", record(2, ""), record(2, "a"), false},
	} {
		if err := test.have.Accept(test.propose); (err == nil) != test.accepted {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
