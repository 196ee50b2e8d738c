package directory

import "time"

// IsDue and Tidy are tested as tables.
var (
	IsDue = isDue
	Tidy  = tidy
)

// Fast makes passes begin anew at once.
func Fast(d *Directories) *Directories {
	d.retryWait = time.Millisecond
	return d
}
