package guard

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/postern-id/postern/protocol"
)

// limiter counts operations that were carried out, never those that were only begun
// or refused: a limit must not be a way to lock somebody out (T31).
type limiter struct {
	rules Rules
	now   func() time.Time

	mu   sync.Mutex
	done []Performed // of the last day, oldest first
}

// Performed is one operation that changed an account, or may have.
type Performed struct {
	Account string
	At      time.Time
	Act     bool // an account operation, which has a limit of its own
}

// A Slot is the place of one operation in the limits.
type Slot struct {
	l *limiter
	p Performed
}

// Reserve takes a place in the limits for an operation that is about to be carried
// out. The caller gives it back if nothing was changed.
func (g *Guard) Reserve(account string) (*Slot, *protocol.Error) { return g.reserve(account, false) }

func (g *Guard) reserve(account string, act bool) (*Slot, *protocol.Error) {
	l := &g.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.done = slices.DeleteFunc(l.done, func(p Performed) bool { return now.Sub(p.At) >= 24*time.Hour })
	p := Performed{Account: account, At: now, Act: act}
	why := l.exceededLocked(account, now)
	if act {
		why = l.actsExceededLocked(now)
	}
	if why != "" {
		return nil, protocol.Err(protocol.CodeRateLimited, why)
	}
	l.done = append(l.done, p)
	return &Slot{l, p}, nil
}

func (l *limiter) exceededLocked(account string, now time.Time) string {
	own, hour := 0, 0
	day := 0
	for _, p := range l.done {
		if p.Act {
			continue
		}
		day++
		if now.Sub(p.At) >= time.Hour {
			continue
		}
		hour++
		if p.Account == account {
			own++
		}
	}
	switch {
	case own >= l.rules.PerAccountPerHour:
		return fmt.Sprintf("the account has had %d operations within an hour: guard.per_account_per_hour in the agent's file", own)
	case hour >= l.rules.PerHour:
		return fmt.Sprintf("%d operations were carried out within an hour: guard.per_hour in the agent's file", hour)
	case day >= l.rules.PerDay:
		return fmt.Sprintf("%d operations were carried out within a day: guard.per_day in the agent's file stops the agent until that falls", day)
	}
	return ""
}

// Release gives the place back: nothing was changed.
func (s *Slot) Release() {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if i := slices.Index(s.l.done, s.p); i >= 0 {
		s.l.done = slices.Delete(s.l.done, i, i+1)
	}
}
