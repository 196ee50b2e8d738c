package agent

import (
	"context"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/protocol"
)

// Limits of reading private addresses. A recovery needs them for its code, once more
// after "send again", and for the notice to the owner.
const (
	readsPerRecovery = 6
	readsPerHour     = 1200
	readsAfter       = time.Hour // after not_after: the notice of a recovery that ended late
)

// contacts reads addresses live, for one recovery that was begun here.
func (s *service) contacts(ctx context.Context, q protocol.RecoveryRef, e *event) (any, error) {
	r, err := s.open(q.Recovery, readsAfter, e)
	if err != nil {
		return nil, err
	}
	if !s.reads.allow(r.ID, s.now()) {
		return nil, protocol.Err(protocol.CodeRateLimited, "the addresses were read too often")
	}
	c, err := s.dir.Contacts(ctx, r.Account)
	if err != nil {
		return nil, asError(err)
	}
	return c, nil
}

// open returns a recovery that was begun here and is not longer over than grace.
func (s *service) open(id string, grace time.Duration, e *event) (journal.Recovery, error) {
	e.Recovery = id
	r, err := s.journal.Recovery(id)
	if err != nil {
		return r, journalError(err)
	}
	e.Account, e.Operation, e.Origin = r.Account, r.Operation, r.Origin
	if s.now().After(time.Unix(r.NotAfter, 0).Add(grace)) {
		return r, protocol.Err(protocol.CodeExpired, "the recovery was not finished in time; begin a new one")
	}
	return r, nil
}

// contactReads counts per hour, so that a hub that was taken over cannot copy the
// private addresses of a whole company in one.
type contactReads struct {
	mu    sync.Mutex
	since time.Time
	total int
	each  map[string]int
}

func (c *contactReads) allow(recovery string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.each == nil || now.Sub(c.since) >= time.Hour {
		c.since, c.total, c.each = now, 0, map[string]int{}
	}
	if c.total >= readsPerHour || c.each[recovery] >= readsPerRecovery {
		return false
	}
	c.total++
	c.each[recovery]++
	return true
}
