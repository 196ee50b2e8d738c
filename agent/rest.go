package agent

import (
	"context"
	"runtime/debug"
	"time"
)

// restAfter is how long nobody asks for anything before the agent gives memory back.
const restAfter = 2 * time.Second

// busy notes that somebody asked for something.
func (s *service) busy() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// rest gives memory back whenever something was done and nothing followed: what a pass over
// all accounts took, and what of the program only its start needed.
func (s *service) rest(ctx context.Context) {
	quiet := time.NewTimer(restAfter)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.asked:
			quiet.Reset(restAfter)
		case <-quiet.C:
			debug.FreeOSMemory()
			s.unmap()
		}
	}
}

// unmap takes those pages of the program out of memory that nobody uses.
func (s *service) unmap() {
	if err := unmapProgram(); err != nil {
		s.log.Debug("the program's pages stay in memory", "error", err)
	}
}
