package testenv

import (
	"testing"
	"time"
)

// patience is how long Eventually waits: far longer than anything takes that a test waits
// for, on a slow machine under the race detector too.
const patience = time.Minute

// Eventually polls until something holds, and fails the test where it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end, tick := time.NewTimer(patience), time.NewTicker(5*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
