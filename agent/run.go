package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
)

// Work that nobody waits for.
const sweepEvery = 30 * time.Second

// An Opener opens the directory that the table [directory] of the file describes.
type Opener func(ctx context.Context, kind string, f settings.File, log *slog.Logger) (directory.Directory, error)

// Options are what Run needs. Log, Ready and Alive may be nil.
type Options struct {
	Config  Config
	Open    Opener
	Version string
	Log     *slog.Logger
	// Ready is called once, when everything is open and the agent begins to serve. It may
	// still have no tunnel: a hub that is away is no failure of the agent.
	Ready func()
	// Alive is called every few seconds while the agent's upkeep goes on.
	Alive func()
}

// Run serves the hub until ctx ends, redialling after every lost tunnel. It owns the
// directory and every goroutine that it starts, and returns when all of them have
// ended: nil after ctx ended, an error when the agent cannot work (its file, its
// state folder, its disk). Nothing that a hub does ends it.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	id, err := LoadIdentity(o.Config.StateDir)
	if err != nil {
		return err
	}
	d, err := newDialer(id.Hub, o.Config.Hub)
	if err != nil {
		return err
	}
	dir, err := o.Open(ctx, o.Config.Kind(), o.Config.File, o.Log)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	s, err := newService(ctx, o.Config, id, o.Config.StateDir, dir, o.Log, time.Now)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	m := newTunnels(s, o.Config, d, o.Version, o.Log)
	if o.Config.Health.Listen != "" {
		ln, err := net.Listen("tcp", o.Config.Health.Listen)
		if err != nil {
			return errors.Join(fmt.Errorf("health.listen: %w", err), s.close(), dir.Close())
		}
		asked, end := context.WithCancel(ctx)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			(&health{s, m, o.Version}).run(asked, ln)
		}()
		defer func() { end(); <-answered }()
	}
	s.alive = o.Alive
	if o.Ready != nil {
		o.Ready()
	}
	err = s.run(ctx, m)
	return errors.Join(err, s.close(), dir.Close())
}

// run serves until ctx ends or the journal cannot be written. Calls that run are
// finished and answered.
func (s *service) run(ctx context.Context, m *tunnels) error {
	ctx, fail := context.WithCancelCause(ctx)
	links, cut := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cut()
	wg.Go(func() { m.run(ctx, links) })
	wg.Go(func() { s.maintain(ctx, fail) })
	wg.Go(func() { s.watch(ctx) })
	wg.Go(func() { s.rest(ctx) })
	wg.Go(func() { s.spread(ctx, m.announce) })
	s.log.Info("agent runs", "agent", s.id.Agent, "directory", s.id.Directory, "hub", s.id.Hub, "guard_hash", s.rulesHash())
	if why := s.stopped(); why != nil {
		s.log.Error("this agent does nothing: the hub showed two histories of its audit log; compare both heads with postern-agent accept-log", "shown_hash", why.LogHash)
	}
	if s.trial {
		s.log.Warn("evaluation is switched on in the agent's file: every operation is a dry run, nothing is changed")
	}
	<-ctx.Done()
	s.passes.cancel()
	s.stop()
	m.flush(links)
	if err := context.Cause(ctx); !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil
}

// maintain settles what was interrupted, and forgets what is too old. A journal that
// failed ends the agent: whoever started it starts it again, and it reads from disk.
func (s *service) maintain(ctx context.Context, fail context.CancelCauseFunc) {
	s.settleAll(ctx)
	_ = s.obey(ctx) // it logs itself
	settle, sweep, orders := time.NewTicker(settleEvery), time.NewTicker(sweepEvery), time.NewTicker(ordersEvery)
	defer settle.Stop()
	defer orders.Stop()
	defer sweep.Stop()
	for {
		s.sign()
		select {
		case <-ctx.Done():
			return
		case <-settle.C:
			s.settleAll(ctx)
		case <-orders.C:
			_ = s.obey(ctx)
		case <-sweep.C:
			if err := s.journal.Sweep(); err != nil {
				s.log.Error("journal cannot be rewritten", "error", err)
			}
		}
		if err := s.journal.Failed(); err != nil {
			fail(err)
			return
		}
	}
}

// sign gives a sign of life.
func (s *service) sign() {
	if s.alive != nil {
		s.alive()
	}
}

// newService opens journal and event log in the state folder. The caller closes the
// service, and the directory after it.
func newService(ctx context.Context, cfg Config, id *Identity, state string, dir directory.Directory, log *slog.Logger, now func() time.Time) (*service, error) {
	s := &service{
		id: id, dir: dir, evidence: cfg.Evidence, state: state, trial: cfg.Evaluation, passes: newPasses(ctx), slots: newSlots(), log: log, now: now,
		patience: settleLife, ending: make(chan struct{}), asked: make(chan struct{}, 1),
	}
	var err error
	if s.mail, err = newMailer(cfg.SMTP); err != nil {
		return nil, err
	}
	if s.sms, err = newTexter(cfg.SMS, now); err != nil {
		return nil, err
	}
	if s.codeKey, err = codeKey(id.keys); err != nil {
		return nil, err
	}
	if err := s.openEvidence(); err != nil {
		return nil, err
	}
	j, err := journal.Open(state, now)
	if err != nil {
		return nil, err
	}
	s.journal = j // whose lock is that of the whole folder
	if err := s.takeOrders(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if err := s.openWitness(cfg.Log); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	if s.guard, err = guard.New(cfg.Guard, performedOf(j, now()), now); err != nil {
		return nil, errors.Join(err, s.witness.Close(), j.Close())
	}
	if s.events, err = openEvents(state); err != nil {
		return nil, errors.Join(fmt.Errorf("event log: %w", err), s.witness.Close(), j.Close())
	}
	return s, nil
}

// openEvidence reads what the agent believes and remembers.
func (s *service) openEvidence() (err error) {
	if s.checker, err = proof.Open(s.evidence); err != nil {
		return err
	}
	if s.veto, err = newVeto(s.evidence); err != nil {
		return err
	}
	if s.statuses, err = newStatusLists(s.evidence, s.now); err != nil {
		return err
	}
	s.known, err = known.Open(s.state, s.id.keys.sign.Seed(), s.now)
	return err
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
	close(s.ending)
	s.notices.Wait()
	return errors.Join(s.known.Save(), s.witness.Close(), s.journal.Close(), s.events.close())
}
