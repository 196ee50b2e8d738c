// Package coord is the nervous system between nodes: wake-ups, short-lived values,
// leases, address buckets and sealed calls from node to node. It knows nothing of
// recoveries or agents, and nothing it carries is believed without a seal: losing
// it, or everything in it, loses nothing that matters.
package coord

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable is wrapped by every error that means: the coordinator cannot be
// reached, or did not answer in time. Whether the request took effect is unknown.
var ErrUnavailable = errors.New("coord: unavailable")

// ErrNotFound is returned by Get for a value that is absent or whose life ended.
var ErrNotFound = errors.New("coord: not found")

// ErrHeld is returned by Acquire while somebody else holds the lease.
var ErrHeld = errors.New("coord: held by another")

// ErrLost is returned by Renew and Release for a lease that ended meanwhile.
var ErrLost = errors.New("coord: lease lost")

// A Coord is what a node needs of its coordinator. Local serves one node, Redis
// several; both pass the same conformance suite. All methods may be called from
// many goroutines.
type Coord interface {
	Bus
	Values
	Leases
	Buckets
	// Healthy returns nil if requests are answered and messages arrive.
	Healthy(ctx context.Context) error
	// Close ends every subscription and waits for its goroutines. Nothing may be
	// called after it.
	Close() error
}

// A Bus carries wake-ups. A message reaches each subscriber at most once and may be
// lost, above all around an outage: whoever waits also looks at the truth now and then.
type Bus interface {
	// Publish sends msg to the present subscribers of channel and returns how many
	// were there, or -1 where the server cannot tell.
	Publish(ctx context.Context, channel string, msg []byte) (receivers int, err error)
	// Subscribe calls f for every message until stop is called. It returns when the
	// subscription is in force, or at once when the server is away: then it comes
	// into force when the server is back. f is called from one goroutine, in order; it
	// owns msg and must return fast.
	Subscribe(ctx context.Context, channel string, f func(msg []byte)) (stop func())
}

// Values holds values with a lifetime, grouped in sets.
type Values interface {
	// Set stores a value for life. The slice may be kept, so it must not change.
	Set(ctx context.Context, set, key string, value []byte, life time.Duration) error
	// SetList is Set and List in one step: of two callers, one sees the other's value.
	SetList(ctx context.Context, set, key string, value []byte, life time.Duration) (map[string][]byte, error)
	// Get returns a value of which the caller is the owner, or ErrNotFound.
	Get(ctx context.Context, set, key string) ([]byte, error)
	// Delete removes a value; an absent one is no error.
	Delete(ctx context.Context, set, key string) error
	// List returns all living values of a set by key.
	List(ctx context.Context, set string) (map[string][]byte, error)
}

// A Lease is the right to do something alone for a while. Fence grows with every
// lease given, of any name and also after the server lost its memory, so that whoever
// is written to can refuse a former holder.
type Lease struct {
	Name  string
	Token string // random
	Fence int64
}

// Leases gives leases.
type Leases interface {
	// Acquire takes the lease for life, or returns ErrHeld.
	Acquire(ctx context.Context, name string, life time.Duration) (Lease, error)
	// Renew sets the rest of the lease's life, or returns ErrLost.
	Renew(ctx context.Context, l Lease, life time.Duration) error
	// Release ends the lease, or returns ErrLost.
	Release(ctx context.Context, l Lease) error
	// Fence draws the next number of the sequence that leases also draw from.
	Fence(ctx context.Context) (int64, error)
}

// A Rate allows Burst takes at once and one more after each Every.
type Rate struct {
	Burst int
	Every time.Duration
}

// Buckets limits how often something may happen. They guard machines, not accounts:
// what limits tries against an account is in SQL.
type Buckets interface {
	// Take takes one from key's bucket. after says when the bucket is full again, or,
	// when it may not, when one will be there.
	Take(ctx context.Context, key string, r Rate) (allowed bool, after time.Duration, err error)
}
