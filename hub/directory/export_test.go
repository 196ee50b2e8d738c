package directory

import (
	"context"
	"time"
)

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

// Look is one look at what is due, of which nothing is begun.
func Look(ctx context.Context, d *Directories) { d.due(ctx) }
