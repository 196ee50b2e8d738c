package processors

import (
	"runtime"
	"testing"
)

func TestOneMoreRunsThanThereAreProcessorsHoweverOftenItIsSaid(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.SetDefaultGOMAXPROCS()
	runtime.SetDefaultGOMAXPROCS()
	want := runtime.GOMAXPROCS(0) + 1
	Spare()
	Spare()
	if got := runtime.GOMAXPROCS(0); got != want {
		t.Errorf("%d run at once, want %d", got, want)
	}
}

func TestWhoeverSetsHowManyRunIsObeyed(t *testing.T) {
	defer runtime.SetDefaultGOMAXPROCS()
	t.Setenv("GOMAXPROCS", "7")
	runtime.GOMAXPROCS(7)
	Spare()
	if got := runtime.GOMAXPROCS(0); got != 7 {
		t.Errorf("%d run at once", got)
	}
}
