package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A lock of the certificate storage is a lease, so that a node that died holds it only
// for a while. The holder renews it; the times leave room for a slow database.
const (
	lockLease = 15 * time.Second
	lockRenew = 5 * time.Second
	lockPoll  = 250 * time.Millisecond
)

// leases are the locks that this node holds.
type leases struct {
	mu   sync.Mutex
	held map[string]*lease
}

type lease struct {
	token string
	stop  context.CancelFunc // ends the renewing
	done  chan struct{}      // closed when it ended
}

// stop ends the renewing of every lock: the store is closed.
func (l *leases) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, held := range l.held {
		held.stop()
	}
}

// ErrNotLocked is given for a lock that this node does not hold, or lost.
var ErrNotLocked = errors.New("store: this node does not hold the lock")

// Lock waits until it has the lock of a name.
func (c *Certificates) Lock(ctx context.Context, name string) error {
	for {
		ok, err := c.TryLock(ctx, name)
		if ok || err != nil {
			return err
		}
		if err := wait(ctx, lockPoll); err != nil {
			return err
		}
	}
}

// TryLock takes the lock of a name if nobody holds it.
func (c *Certificates) TryLock(ctx context.Context, name string) (bool, error) {
	l := &lease{token: NewToken(), done: make(chan struct{})}
	n, err := Change(ctx, c.s, func(tx *Tx) (int64, error) {
		now := tx.Now()
		return tx.Exec(ctx, `INSERT INTO certificate_locks (name, token, expires_at) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET token = excluded.token, expires_at = excluded.expires_at
			WHERE certificate_locks.expires_at <= $4`, name, l.token, Millis(now.Add(lockLease)), Millis(now))
	})
	if err != nil {
		return false, fmt.Errorf("store: lock %s: %w", name, err)
	}
	if n == 0 {
		return false, nil
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	c.locks.mu.Lock()
	c.locks.held[name] = l
	c.locks.mu.Unlock()
	c.s.wg.Go(func() { c.renew(run, name, l) })
	return true, nil
}

// renew keeps a lease until ctx ends or the lease is lost.
func (c *Certificates) renew(ctx context.Context, name string, l *lease) {
	defer close(l.done)
	for wait(ctx, lockRenew) == nil {
		err := c.extend(ctx, name, l, lockLease)
		if errors.Is(err, ErrNotLocked) {
			c.s.log.WarnContext(ctx, "lock of the certificate storage lost", "name", name)
			return
		}
	}
}

func (c *Certificates) extend(ctx context.Context, name string, l *lease, d time.Duration) error {
	err := c.s.Tx(ctx, func(tx *Tx) error {
		return tx.Swap(ctx, "UPDATE certificate_locks SET expires_at = $3 WHERE name = $1 AND token = $2", name, l.token, Millis(tx.Now().Add(d)))
	})
	if errors.Is(err, ErrConflict) {
		return ErrNotLocked
	}
	return err
}

// RenewLockLease sets the rest of the life of a lock that this node holds.
func (c *Certificates) RenewLockLease(ctx context.Context, name string, d time.Duration) error {
	c.locks.mu.Lock()
	l := c.locks.held[name]
	c.locks.mu.Unlock()
	if l == nil {
		return fmt.Errorf("%w of %s", ErrNotLocked, name)
	}
	if err := c.extend(ctx, name, l, d); err != nil {
		return fmt.Errorf("store: renew the lock of %s: %w", name, err)
	}
	return nil
}

// Unlock gives back a lock that this node holds.
func (c *Certificates) Unlock(ctx context.Context, name string) error {
	c.locks.mu.Lock()
	l := c.locks.held[name]
	delete(c.locks.held, name)
	c.locks.mu.Unlock()
	if l == nil {
		return fmt.Errorf("%w of %s", ErrNotLocked, name)
	}
	l.stop()
	<-l.done
	err := c.s.Tx(ctx, func(tx *Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM certificate_locks WHERE name = $1 AND token = $2", name, l.token)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: unlock %s: %w", name, err)
	}
	return nil
}
