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
