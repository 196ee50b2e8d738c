package store

import (
	"runtime"
	"time"
)

// pace is how far apart batches of final steps begin under load. A sign-in waits for one of
// them, and takes much longer than that where more are under way than there are processors;
// what a commit takes of the processor is then shared by those that came meanwhile.
const pace = 2 * time.Millisecond

// Of the processor, whoever rests asks whether it has other work: where it was given to somebody
// else, that took turnover at least, besides the clock, and after leisure without that there is
// none.
const (
	turnover = 2 * time.Microsecond
	leisure  = 50 * time.Microsecond
)

// A pacing says when the next batch of final steps is to begin; guarded by the gathering.
type pacing struct {
	began time.Time // when the last one did
	crowd int       // plans of the last one, and those that came while it was written
	yield func()    // lets others run that can; nil: runtime.Gosched; set by tests
}

// joined is called with the lock after a plan was put into a batch: who does not move an
// exchange on waits for nobody.
func (b *batch) joined(p *prepared) {
	if p.patient || b.hurries {
		return
	}
	b.hurries = true
	close(b.hurry)
}

// rest lets others come along with a batch of final steps, if the last one began just now
// and there are more of them than processors, for as long as there is other work: with nothing
// to do but wait, all of them would end together, again and again. Whoever is alone, or comes
// after a while, does not wait.
func (g *gathering) rest(b *batch) {
	now := time.Now()
	least := turnover + 2*time.Since(now) // of some machines the clock takes longer to read than that
	end := now.Add(g.left(b))
	for worked := now; now.Before(end) && now.Sub(worked) < leisure && !b.isHurried(); {
		before := now
		g.yield()
		if now = time.Now(); now.Sub(before) >= least {
			worked = now
		}
	}
}

func (g *gathering) yield() {
	if g.pacing.yield != nil {
		g.pacing.yield()
		return
	}
	runtime.Gosched()
}

// isHurried reports whether somebody has come who waits for nobody.
func (b *batch) isHurried() bool {
	select {
	case <-b.hurry:
		return true
	default:
		return false
	}
}

// left is how long a batch is to rest.
func (g *gathering) left(b *batch) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.hurries || g.pacing.crowd <= runtime.GOMAXPROCS(0) {
		return 0
	}
	return time.Until(g.pacing.began.Add(pace))
}

// begins notes that a batch begins, which is whole now.
func (g *gathering) begins(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !b.hurries {
		g.pacing.began = time.Now()
	}
}

// ended notes how many final steps there are at once.
func (g *gathering) ended(b *batch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.hurries {
		return
	}
	g.pacing.crowd = len(b.plans)
	if g.next != nil {
		g.pacing.crowd += len(g.next.plans)
	}
}
