package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

// clock is a time that a test moves.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time       { return time.UnixMilli(c.ms.Load()) }
func (c *clock) pass(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// eachClocked runs a test on both databases under a clock of its own.
func eachClocked(t *testing.T, test func(t *testing.T, s *store.Store, c *clock)) {
	storetest.EachConfig(t, func(t *testing.T, cfg store.Config) {
		c := &clock{}
		c.ms.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli())
		cfg.Now = c.now
		test(t, storetest.Open(t, cfg), c)
	})
}

// eventually polls until ok, and fails the test after ten seconds.
func eventually(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(otherwise)
		}
	}
}
