package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/postern-id/postern/protocol"
)

// Times between attempts.
const (
	firstDelay  = time.Second
	maxDelay    = time.Minute
	lastedLong  = time.Minute      // a tunnel that lived so long was no failed attempt
	comeBack    = 5 * time.Second  // spread of agents that a stopping node sends away
	hourly      = time.Hour        // "come back hourly": a key that the hub refuses, and may accept again
	hourlyShare = 10 * time.Minute // spread of those
)

// backoff says how long to wait before the next attempt: full jitter, so that a
// thousand agents that lost one node do not come back together.
type backoff struct{ failed int }

// after is the wait after a tunnel, or an attempt, that ended with err and lived for
// lived.
func (b *backoff) after(err error, lived time.Duration) time.Duration {
	var ended *protocol.CloseError
	if lived >= lastedLong {
		b.failed = 0
	}
	if errors.As(err, &ended) && ended.Code == protocol.CloseComeBackHourly {
		b.failed = 0
		return hourly - hourlyShare/2 + rand.N(hourlyShare)
	}
	if lived >= lastedLong && errors.As(err, &ended) && ended.Code == protocol.CloseComeBack {
		return rand.N(comeBack)
	}
	limit := min(firstDelay<<min(b.failed, 10), maxDelay)
	b.failed++
	return rand.N(limit)
}

// wait waits for d or until ctx ends, and reports whether it was d.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
