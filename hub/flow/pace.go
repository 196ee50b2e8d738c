package flow

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// paceKept is how many of a directory's recent begins are remembered.
const paceKept = 32

// A pace remembers how long agents took of late to begin recoveries, so that nobody is
// kept waiting like somebody (T30). It is this node's own, and forgotten with it.
type pace struct {
	mu     sync.Mutex
	recent map[string][]time.Duration // by directory
}

// note remembers one begin.
func (p *pace) note(directory string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recent == nil {
		p.recent = map[string][]time.Duration{}
	}
	list := append(p.recent[directory], d)
	p.recent[directory] = list[max(0, len(list)-paceKept):]
}

// draw returns one of those times, false if none is known.
func (p *pace) draw(directory string) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.recent[directory]
	if len(list) == 0 {
		return 0, false
	}
	return list[rand.IntN(len(list))], true
}

// keepPace takes as long as a begin, once for each decoy, as an agent begins once for
// each account. Until this node has seen one, it takes what the agent takes to answer.
func (r *Recoveries) keepPace(ctx context.Context, rec *store.Recovery, c *recovery.Case) error {
	if rec.AgentPart != "" || c.Private.Paced {
		return nil
	}
	c.Private.Paced = true
	rec.Private = []byte(store.JSON(c.Private))
	d, known := r.pace.draw(rec.Directory)
	if !known {
		to := operation.To{Env: rec.Env, Directory: rec.Directory}
		_ = r.Operations.Ask(ctx, to, protocol.MethodDescribe, protocol.Empty{}, &protocol.Description{}) // only its time counts
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
