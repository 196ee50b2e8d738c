package ballast

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestTheCollectorWaitsForAsMuchAsTheBallastIs(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	without := goal()
	b := Take()
	if with := goal(); with < without+2*size-size/8 {
		t.Errorf("collected at %d bytes, without ballast at %d", with, without)
	}
	runtime.KeepAlive(b)
}

func TestWhoeverSetsTheCollectorHasNoBallast(t *testing.T) {
	t.Setenv("GOGC", "50")
	if b := Take(); b.unused != nil {
		t.Error("ballast in spite of GOGC")
	}
	t.Setenv("GOGC", "")
	debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(math.MaxInt64)
	if b := Take(); b.unused != nil {
		t.Error("ballast in spite of a limit")
	}
}

// goal is the size of the heap at which it is collected next.
func goal() uint64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
