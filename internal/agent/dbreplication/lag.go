package dbreplication

import (
	"context"
	"time"

	"github.com/foobar-stack/terraform-provider-foobar/internal/replication"
)

// lagEvery is how often the keeper measures a replica's lag, so that it is known
// since when it has been too high whenever somebody looks.
const lagEvery = 5 * time.Second

// measure measures the lag. That a server cannot be asked is told by those who look.
func (p *part) measure(ctx context.Context) {
	if p.database() == nil || p.told() == nil || !p.counted() || p.lived().Opened {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, replication.ObserveTimeout)
	defer cancel()
	if err := p.local().Measure(ctx); err != nil {
		p.log.Debug("the lag was not measured", "error", err)
	}
}
