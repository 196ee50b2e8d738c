package agent

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A slotClass says which queue a call waits in. Classes do not share slots, so that
// no listing and no look-up ever delays a recovery.
type slotClass int

const (
	bulk slotClass = iota
	lookup
	recovery
)

// Slots of each class, and how many calls may wait for them. A directory server
// serves a few dozen requests at once well; 16 recoveries at once are 16 employees
// who press within the same 50 ms.
const (
	bulkSlots     = 2
	lookupSlots   = 16
	recoverySlots = 64
	maxWaiting    = 256
)

// slots bounds how many calls work at once.
type slots [recovery + 1]struct {
	work, wait chan struct{}
}

func newSlots() slots {
	var s slots
	for class, n := range map[slotClass]int{bulk: bulkSlots, lookup: lookupSlots, recovery: recoverySlots} {
		s[class].work = make(chan struct{}, n)
		s[class].wait = make(chan struct{}, n+maxWaiting)
	}
	return s
}

// take waits for a slot until ctx ends. The caller releases it.
func (s *slots) take(ctx context.Context, class slotClass) (release func(), err error) {
	c := &s[class]
	select {
	case c.wait <- struct{}{}:
	default:
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent has too much to do")
	}
	select {
	case c.work <- struct{}{}:
		return func() { <-c.work; <-c.wait }, nil
	case <-ctx.Done():
		<-c.wait
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent had too much to do")
	}
}

// accountLocks let one call at a time work on an account.
type accountLocks struct {
	mu   sync.Mutex
	held map[string]*accountLock
}

type accountLock struct {
	turn  chan struct{} // holds one token while nobody works
	users int
}

// take waits for the account until ctx ends. The caller releases it.
func (l *accountLocks) take(ctx context.Context, account string) (release func(), err error) {
	a := l.join(account)
	select {
	case <-a.turn:
		return func() { a.turn <- struct{}{}; l.leave(account) }, nil
	case <-ctx.Done():
		l.leave(account)
		return nil, protocol.Err(protocol.CodeUnavailable, "another operation on the account is not finished")
	}
}

func (l *accountLocks) join(account string) *accountLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*accountLock{}
	}
	a := l.held[account]
	if a == nil {
		a = &accountLock{turn: make(chan struct{}, 1)}
		a.turn <- struct{}{}
		l.held[account] = a
	}
	a.users++
	return a
}

func (l *accountLocks) leave(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.held[account]
	if a.users--; a.users == 0 {
		delete(l.held, account)
	}
}

// flights are the contexts whose request is being looked at.
type flights struct {
	mu   sync.Mutex
	open map[protocol.Context]int
}

// enter notes a request; the caller calls leave at its end.
func (f *flights) enter(c protocol.Context) (leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[protocol.Context]int{}
	}
	f.open[c]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[c]--; f.open[c] == 0 {
			delete(f.open, c)
		}
	}
}

func (f *flights) has(c protocol.Context) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[c] > 0
}

// Limits of requests that were given up.
const (
	givenUpLife = 10 * time.Minute // no request outlives its tunnel, and a dead tunnel is found within half a minute
	maxGivenUp  = 10_000
)

// givenUp are the requests that the hub asked about before they came. Whatever brings
// one to this process later finds it refused; another process has another tunnel.
type givenUp struct {
	mu sync.Mutex
	at map[string]time.Time
}

// add reports whether the request is refused from now on.
func (g *givenUp) add(request string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.at) >= maxGivenUp {
		maps.DeleteFunc(g.at, func(_ string, at time.Time) bool { return now.Sub(at) > givenUpLife })
	}
	if _, known := g.at[request]; known || len(g.at) >= maxGivenUp {
		return known
	}
	if g.at == nil {
		g.at = map[string]time.Time{}
	}
	g.at[request] = now
	return true
}

func (g *givenUp) has(request string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, there := g.at[request]
	return there
}
