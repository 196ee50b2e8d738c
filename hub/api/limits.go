package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// class says how often a key may use the rows of a kind within a minute.
type class struct {
	name      string
	perMinute int
}

// Classes of rows. They guard the machine, not accounts, so each node counts for itself.
var (
	reading  = class{"read", 1200} // a dashboard with a dozen widgets, twice a second
	writing  = class{"write", 240} // scripts that set up many directories
	presigns = class{"presign", 600}
	archived = class{"archive", 12} // 500 MB each
)

// window is the time in which requests are counted.
const window = time.Minute

// limits counts requests of keys in windows that begin together.
type limits struct {
	now func() time.Time

	mu     sync.Mutex
	start  time.Time      // of the present window
	counts map[string]int // by key and class
}

func newLimits(now func() time.Time) *limits { return &limits{now: now, counts: map[string]int{}} }

// take counts one request. It returns how many are left in the window, negative when
// this one is too many, and when the next window begins.
func (l *limits) take(key string, c class) (left int, reset time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Sub(l.start) >= window || now.Before(l.start) {
		l.start = now
		clear(l.counts)
	}
	name := c.name + " " + key
	l.counts[name]++
	return c.perMinute - l.counts[name], l.start.Add(window)
}

// limit counts the request and says in its headers what is left.
func (c *call) limit() error {
	left, reset := c.api.limits.take(c.key.ID, c.row.class)
	h := c.w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(c.row.class.perMinute))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(left, 0)))
	h.Set("X-RateLimit-Reset", reset.UTC().Format(time.RFC3339))
	if left >= 0 {
		return nil
	}
	wait := max(int(reset.Sub(c.api.limits.now()).Seconds()), 0) + 1
	h.Set("Retry-After", strconv.Itoa(wait))
	return errTooMany
}

var _ http.Handler = (*API)(nil)
