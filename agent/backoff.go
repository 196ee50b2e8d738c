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
	maxDelay    = 12 * time.Second // with dialLife, an agent serves within 30 s after whatever was in the way is gone
	lastedLong  = 20 * time.Second // a tunnel that lived so long was no failed attempt: there are proxies that cut each after a minute
	comeBack    = 5 * time.Second  // spread of agents that a node sends away and does not say over how long
	lookAgain   = 5 * time.Minute  // between looks for a node of its own, where every look led to the same one
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
	var leaving *leavingError
	if lived >= lastedLong && !errors.Is(err, errSameNode) {
		b.failed = 0
	}
	switch {
	case errors.As(err, &leaving) && lived >= lastedLong:
		return jitter(leaving.spread)
	case errors.As(err, &ended) && ended.Code == protocol.CloseComeBackHourly:
		b.failed = 0
		return hourly - hourlyShare/2 + jitter(hourlyShare)
	case errors.As(err, &ended) && ended.Code == protocol.CloseComeBack && lived >= lastedLong:
		return jitter(max(comeBack, protocol.Spread(ended.Reason)))
	}
	limit := maxDelay
	if errors.Is(err, errSameNode) {
		limit = lookAgain
	}
	d := min(firstDelay<<min(b.failed, 10), limit)
	b.failed++
	return jitter(d)
}

// jitter is a random time below d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
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
