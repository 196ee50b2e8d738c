package processors

import (
	"runtime"
	"testing"
)

// after returns how many run at once after Spare was called twice, where n did.
func after(t *testing.T, n int) int {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	Spare()
	Spare()
	return runtime.GOMAXPROCS(0)
}

func TestOneMoreRunsThanThereAreProcessorsHoweverOftenItIsSaid(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	if got, want := after(t, runtime.NumCPU()), runtime.NumCPU()+1; got != want {
		t.Errorf("%d run at once, want %d", got, want)
	}
}

func TestTheLimitOfAContainerHolds(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	few := max(runtime.NumCPU()-1, 1)
	if few == runtime.NumCPU() {
		few++ // one processor: more than there are is somebody's will, too
	}
	if got := after(t, few); got != few {
		t.Errorf("%d run at once, want %d", got, few)
	}
}

func TestWhoeverSetsHowManyRunIsObeyed(t *testing.T) {
	t.Setenv("GOMAXPROCS", "all")
	if got := after(t, runtime.NumCPU()); got != runtime.NumCPU() {
		t.Errorf("%d run at once", got)
	}
}
