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

// Refresh is a scheduled synchronisation.
func Refresh(ctx context.Context, d *Directories, env, id string) error {
	return d.sync(ctx, To{Env: env, Directory: id}, false)
}
