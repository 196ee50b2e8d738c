package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
)

// newService opens journal and event log in the state folder. The caller closes the
// service, and the directory after it.
func newService(ctx context.Context, cfg Config, id *Identity, state string, dir directory.Directory, log *slog.Logger, now func() time.Time) (*service, error) {
	mail, err := newMailer(cfg.SMTP, id.keys)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(state, now)
	if err != nil {
		return nil, err
	}
	s := &service{
		id: id, dir: dir, journal: j, mail: mail, passes: newPasses(ctx), slots: newSlots(), log: log, now: now,
	}
	if s.guard, err = guard.New(cfg.Guard, performedOf(j, now()), now); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if s.events, err = openEvents(state); err != nil {
		return nil, errors.Join(fmt.Errorf("event log: %w", err), j.Close())
	}
	return s, nil
}

// performedOf is the last day of the journal in the guard's words.
func performedOf(j *journal.Journal, now time.Time) []guard.Performed {
	var done []guard.Performed
	for _, p := range j.PerformedSince(now.Add(-24 * time.Hour)) {
		done = append(done, guard.Performed(p))
	}
	return done
}

// close lets running calls end, and gives everything back but the directory.
func (s *service) close() error {
	s.passes.cancel()
	s.stop()
	s.passes.wg.Wait()
	return errors.Join(s.journal.Close(), s.events.close())
}
