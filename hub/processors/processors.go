// Package processors has Go use all processors of the machine while a goroutine waits for the
// disk. It knows nothing of what the process does.
//
// Go runs as many goroutines at once as there are processors, and counts one that is in a call
// of the disk for some ten microseconds longer, or more where nobody looks: a hub on two
// processors that commits a thousand times a second would leave one of them idle for a part of
// each. Whoever is to run meanwhile runs on one more.
package processors

import (
	"os"
	"runtime"
)

// Spare lets one goroutine more run at once than there are processors, however often it is
// called. It changes nothing where somebody has said how many run: whoever started the process,
// by GOMAXPROCS, or the limit of a container, which its kernel would slow it down for.
func Spare() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == runtime.NumCPU() {
		runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	}
}
