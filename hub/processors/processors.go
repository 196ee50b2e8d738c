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
// called. It changes nothing where whoever started the process has set GOMAXPROCS. A limit of
// the container's that changes later is no longer followed.
func Spare() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	runtime.SetDefaultGOMAXPROCS()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
}
