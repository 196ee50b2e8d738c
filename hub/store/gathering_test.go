package store

import (
	"testing"
	"time"
)

// waited returns how long whoever leads waited, at least, in several tries: a machine that
// is busy makes some of them longer.
func waited(expect int, firm bool, plans int) time.Duration {
	shortest := time.Hour
	for range 50 {
		g := &gathering{expect: expect}
		for range plans {
			g.add(&prepared{firm: firm})
		}
		begin := time.Now()
		g.gather()
		shortest = min(shortest, time.Since(begin))
	}
	return shortest
}

func TestWhoeverLeadsWaitsOnlyForThoseWhoMayStillCome(t *testing.T) {
	for name, c := range map[string]struct {
		expect, plans int
		firm, waits   bool
	}{
		"one is missing":            {expect: 3, plans: 2, firm: true, waits: true},
		"all are there":             {expect: 3, plans: 3, firm: true},
		"more than were there once": {expect: 3, plans: 5, firm: true},
		"nobody waits for the disk": {expect: 3, plans: 2},
	} {
		if took := waited(c.expect, c.firm, c.plans); took >= patience != c.waits {
			t.Errorf("%s: waited %s", name, took)
		}
	}
}

func TestWhoeverLeadsWaitsForThoseWhoComeOneAfterAnotherButNotForEver(t *testing.T) {
	begin := time.Now()
	const wanted, soon = 16, patience - time.Microsecond
	w := waiting{begin: begin, last: begin}
	for _, at := range []struct {
		after time.Duration
		came  int64
		over  bool
	}{{0, 1, false}, {soon, 2, false}, {soon + patience - 1, 2, false}, {soon + patience, 2, true}} {
		if w.over(begin.Add(at.after), at.came, wanted) != at.over {
			t.Errorf("one who came after %s: after %s, over is not %v", soon, at.after, at.over)
		}
	}
	w = waiting{begin: begin, last: begin}
	came, after := int64(1), time.Duration(0)
	for ; !w.over(begin.Add(after), came, wanted); came, after = came+1, after+soon {
	}
	if after < maxPatience || after >= maxPatience+soon {
		t.Errorf("of those who never end, %d were waited for, %s", came, after)
	}
	w = waiting{begin: begin, last: begin}
	if !w.over(begin, wanted, wanted) {
		t.Error("all are there, and somebody is waited for")
	}
}

func TestTheNextBatchIsWorthThoseOfTheLastAndThoseWhoCameMeanwhile(t *testing.T) {
	var g gathering
	last, _ := g.add(&prepared{firm: true})
	g.add(&prepared{firm: true})
	g.close()
	g.add(&prepared{firm: true})
	g.wrote(last)
	if g.wanted() != 3 || g.came.Load() != 1 {
		t.Errorf("%d of %d came", g.came.Load(), g.wanted())
	}
}
