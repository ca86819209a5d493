package dbreplication

import (
	"testing"
	"time"
)

// TestLagIsKnownBeforeAnybodyLooks: since when a replica lags too much does not
// begin with the first look.
func TestLagIsKnownBeforeAnybodyLooks(t *testing.T) {
	b := newBay(t)
	b.must(b.Hear(t.Context(), notes, told("web2")))
	b.records(first("web2"), first("web2"))
	b.db.with(func(d *bayDB) { d.lag = time.Hour })
	since := b.now.Now()
	b.part(notes).measure(t.Context())
	b.now.pass(time.Minute)
	view, err := b.part(notes).view(t.Context())
	if err != nil || view.Lag == nil || !view.Lag.AboveSince.Equal(since) {
		t.Errorf("the lag is %+v, %v", view.Lag, err)
	}
}
