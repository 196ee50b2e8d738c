package api

import (
	"context"
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

// Classes of rows. They guard machines, not accounts.
var (
	reading  = class{"read", 1200} // a dashboard with a dozen widgets, twice a second
	writing  = class{"write", 240} // scripts that set up many directories
	presigns = class{"presign", 600}
	faces    = class{"face", 60}     // each asks the analyzer
	ordering = class{"order", 60}    // each asks an agent, which writes to its disk and to its directory
	archived = class{"archive", 12}  // 500 MB each
	examined = class{"examine", 30}  // each asks an agent, which asks its directory
	mailing  = class{"mail", 30}     // each is a mail to whomever
	persons  = class{"person", 60}   // somebody about themselves
	browsers = class{"browser", 600} // all of them behind one address
)

// strangers are requests without a good key, by address. Those with one are not counted
// here, so that nobody shuts out others who share an address.
var strangers = class{"unknown", 120}

// every is how soon one more request may come once all were made.
func (c class) every() time.Duration { return window / time.Duration(c.perMinute) }

// window is the time in which as many requests as perMinute may come. It slides.
const window = time.Minute

// Buckets count what all nodes are asked.
type Buckets interface {
	// Take takes one from a bucket that holds burst, and one more after each every. after
	// says when the bucket is full again, or, when it may not, when one will be there.
	Take(ctx context.Context, key string, burst int, every time.Duration) (allowed bool, after time.Duration, err error)
}

// Times of a coordinator that does not answer.
const (
	maxWait = 500 * time.Millisecond // of a request for its count
	maxAway = 2 * time.Second        // until it is asked again
)

// take counts over all nodes, or while the coordinator is away over this one.
func (a *API) take(ctx context.Context, c class, who string) (allowed bool, after time.Duration) {
	if a.own.away() {
		return a.own.take(c.name+" "+who, c)
	}
	waits, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	allowed, after, err := a.Buckets.Take(waits, "api/"+c.name+"/"+who, c.perMinute, c.every())
	if err == nil {
		return allowed, after
	}
	if ctx.Err() == nil { // not because the client left
		a.own.without()
	}
	return a.own.take(c.name+" "+who, c)
}

// limit counts a request, or one of a stranger, over all nodes, and says in its headers
// what is left. While the coordinator is away each node counts for itself.
func (c *call) limit(ctx context.Context, who string, of class) error {
	allowed, after := c.api.take(ctx, of, who)
	now := time.Now()
	h := c.w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(of.perMinute))
	if allowed {
		h.Set("X-RateLimit-Remaining", strconv.Itoa(max(of.perMinute-int((after+of.every()-1)/of.every()), 0)))
		h.Set("X-RateLimit-Reset", now.Add(after).UTC().Format(time.RFC3339))
		return nil
	}
	h.Set("X-RateLimit-Remaining", "0")
	h.Set("X-RateLimit-Reset", now.Add(window).UTC().Format(time.RFC3339))
	h.Set("Retry-After", strconv.Itoa(int(after/time.Second)+1))
	return errTooMany
}

// stranger counts a request without a good key by the network that it comes from.
func (c *call) stranger(ctx context.Context) error {
	return c.limit(ctx, c.network(), c.api.strangers)
}

// network is what counts as one place that requests come from.
func (c *call) network() string {
	from, bits := c.from(), 64 // an IPv6 network is one machine's
	if from.Is4() {
		bits = 32
	}
	network, _ := from.Prefix(bits)
	return network.Masked().String()
}

// limits counts for one node, in windows that begin together.
type limits struct {
	now func() time.Time

	mu     sync.Mutex
	start  time.Time      // of the present window
	counts map[string]int // by key and class
	asked  time.Time      // when the coordinator is asked again
}

// away reports whether the coordinator did not answer just now.
func (l *limits) away() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Before(l.asked)
}

// without notes that it did not answer.
func (l *limits) without() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = l.now().Add(maxAway)
}

func newLimits(now func() time.Time) *limits { return &limits{now: now, counts: map[string]int{}} }

// take counts one request, and answers as Buckets do.
func (l *limits) take(name string, c class) (allowed bool, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.start) >= window || now.Before(l.start) {
		l.start = now
		clear(l.counts)
	}
	l.counts[name]++
	if l.counts[name] > c.perMinute {
		return false, l.start.Add(window).Sub(now)
	}
	return true, time.Duration(l.counts[name]) * c.every()
}

var _ http.Handler = (*API)(nil)
