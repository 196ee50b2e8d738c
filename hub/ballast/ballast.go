// Package ballast keeps the garbage collector of a small process from running all the time.
// It knows nothing of what the process does.
//
// A hub that holds ten megabytes would be collected each time ten more were allocated: at a
// thousand sign-ins a second, dozens of times a second, and each time all that runs is
// interrupted. The collector lets a heap double, and counts ballast as heap.
package ballast

import (
	"math"
	"os"
	"runtime/debug"
)

// size is how much is allocated at least between two collections, in bytes: more saves
// little, and so much more memory a process may take than it would without ballast.
const size = 64 << 20

// Ballast is memory that nobody writes to: it takes addresses, and none of the machine's
// memory. It counts for as long as it is held.
type Ballast struct{ unused []byte }

// Take returns ballast. There is none in it where whoever started the process has set GOGC
// or GOMEMLIMIT: then the collector does what that says.
func Take() Ballast {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return Ballast{}
	}
	return Ballast{make([]byte, size)}
}
