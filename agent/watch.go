package agent

import (
	"context"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/known"
)

// Rhythm of looking at strict accounts, so that a changed address is known to be new
// before somebody recovers with it (T16).
const (
	watchEvery = time.Hour
	watchAgain = 5 * time.Minute // after a pass that failed
)

// watch looks at every strict account until ctx ends. Without a strict rule it does nothing.
func (s *service) watch(ctx context.Context) {
	if !s.evidence.Strict() && len(s.guard.Rules().SensitiveGroups) == 0 {
		return
	}
	for {
		again := watchEvery
		n, err := s.watchOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Warn("strict accounts cannot be looked at; it is tried again", "error", withoutAddresses(err.Error()))
			again = watchAgain
		default:
			s.log.Info("strict accounts were looked at", "accounts", n)
		}
		if !wait(ctx, again) {
			return
		}
	}
}

// watchOnce notes the attributes of every account that is strict.
func (s *service) watchOnce(ctx context.Context) (strict int, err error) {
	var ids []string
	_, err = s.dir.List(ctx, directory.Once, defaultPage, func(p directory.Page) error {
		for _, a := range p.Accounts {
			ids = append(ids, a.ID)
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	people, err := known.Approvers(s.state)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return strict, err
		}
		f, err := s.dir.Facts(ctx, id)
		if err != nil {
			continue // gone since, or unreadable: then it is not recovered either
		}
		k := claimant{facts: f, terms: s.termsOf(f, nil, people)}
		if !k.terms.Strict {
			continue
		}
		if err := s.look(ctx, &k); err != nil {
			return strict, err
		}
		strict++
	}
	return strict, s.known.Settle()
}
