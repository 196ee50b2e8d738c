package coord

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// localQueue is how many messages wait for a slow subscriber before the next are
// dropped: the contract of Bus allows losing them.
const localQueue = 1024

// sweepEvery is how many writes pass between two sweeps of what has expired.
const sweepEvery = 1024

// Local is the coordinator of a single node, within its process.
type Local struct {
	mu     sync.Mutex
	subs   map[string]map[*localSub]struct{}
	values map[string][]localValue // by set; sets are small and many, so a slice costs less than a map
	leases map[string]localLease
	takes  map[string]time.Time // when the bucket is full again
	fence  int64
	writes int
	wg     sync.WaitGroup
	now    func() time.Time
}

type localValue struct {
	key   string
	value []byte
	until time.Time
}

type localLease struct {
	Lease
	until time.Time
}

type localSub struct{ queue chan []byte }

// NewLocal returns an empty coordinator.
func NewLocal() *Local {
	return &Local{
		subs:   map[string]map[*localSub]struct{}{},
		values: map[string][]localValue{},
		leases: map[string]localLease{},
		takes:  map[string]time.Time{},
		now:    time.Now,
	}
}

// Publish implements Bus.
func (c *Local) Publish(_ context.Context, channel string, msg []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.subs[channel] {
		select {
		case s.queue <- append([]byte(nil), msg...):
		default: // the subscriber is slow: lossy by contract
		}
	}
	return len(c.subs[channel]), nil
}

// Subscribe implements Bus.
func (c *Local) Subscribe(_ context.Context, channel string, f func([]byte)) func() {
	s := &localSub{queue: make(chan []byte, localQueue)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[channel] == nil {
		c.subs[channel] = map[*localSub]struct{}{}
	}
	c.subs[channel][s] = struct{}{}
	c.wg.Go(func() {
		for msg := range s.queue {
			f(msg)
		}
	})
	return func() { c.unsubscribe(channel, s) }
}

func (c *Local) unsubscribe(channel string, s *localSub) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.subs[channel][s]; !ok {
		return
	}
	delete(c.subs[channel], s)
	if len(c.subs[channel]) == 0 {
		delete(c.subs, channel)
	}
	close(s.queue)
}

// Set implements Values.
func (c *Local) Set(_ context.Context, set, key string, value []byte, life time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(set, key, value, life)
	return nil
}

// SetList implements Values.
func (c *Local) SetList(_ context.Context, set, key string, value []byte, life time.Duration) (map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setLocked(set, key, value, life)
	return c.listLocked(set), nil
}

func (c *Local) setLocked(set, key string, value []byte, life time.Duration) {
	c.sweepLocked()
	v := localValue{key, value, c.now().Add(life)}
	if i := c.findLocked(set, key); i >= 0 {
		c.values[set][i] = v
		return
	}
	c.values[set] = append(c.values[set], v)
}

// findLocked returns the place of a value in its set, or -1.
func (c *Local) findLocked(set, key string) int {
	return slices.IndexFunc(c.values[set], func(v localValue) bool { return v.key == key })
}

// Get implements Values.
func (c *Local) Get(_ context.Context, set, key string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.findLocked(set, key)
	if i < 0 || !c.values[set][i].until.After(c.now()) {
		return nil, ErrNotFound
	}
	return append([]byte(nil), c.values[set][i].value...), nil
}

// Delete implements Values.
func (c *Local) Delete(_ context.Context, set, key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(set, func(v localValue) bool { return v.key != key })
	return nil
}

// List implements Values.
func (c *Local) List(_ context.Context, set string) (map[string][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.listLocked(set), nil
}

func (c *Local) listLocked(set string) map[string][]byte {
	now, all := c.now(), map[string][]byte{}
	for _, v := range c.values[set] {
		if v.until.After(now) {
			all[v.key] = append([]byte(nil), v.value...)
		}
	}
	return all
}

// keepLocked removes the values of a set that are not to be kept.
func (c *Local) keepLocked(set string, keep func(localValue) bool) {
	left := slices.DeleteFunc(c.values[set], func(v localValue) bool { return !keep(v) })
	if len(left) == 0 {
		delete(c.values, set)
		return
	}
	c.values[set] = left
}

// Acquire implements Leases.
func (c *Local) Acquire(_ context.Context, name string, life time.Duration) (Lease, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweepLocked()
	now := c.now()
	if l, ok := c.leases[name]; ok && l.until.After(now) {
		return Lease{}, ErrHeld
	}
	l := Lease{Name: name, Token: rand.Text(), Fence: c.fenceLocked(now)}
	c.leases[name] = localLease{l, now.Add(life)}
	return l, nil
}

// Renew implements Leases.
func (c *Local) Renew(_ context.Context, l Lease, life time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if held, ok := c.leases[l.Name]; !ok || held.Lease != l || !held.until.After(now) {
		return ErrLost
	}
	c.leases[l.Name] = localLease{l, now.Add(life)}
	return nil
}

// Release implements Leases.
func (c *Local) Release(_ context.Context, l Lease) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held, ok := c.leases[l.Name]; !ok || held.Lease != l || !held.until.After(c.now()) {
		return ErrLost
	}
	delete(c.leases, l.Name)
	return nil
}

// Fence implements Leases.
func (c *Local) Fence(context.Context) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fenceLocked(c.now()), nil
}

// fenceLocked follows the clock in microseconds, so that numbers grow across restarts.
func (c *Local) fenceLocked(now time.Time) int64 {
	c.fence = max(c.fence+1, now.UnixMicro())
	return c.fence
}

// Take implements Buckets.
func (c *Local) Take(_ context.Context, key string, r Rate) (bool, time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweepLocked()
	now := c.now()
	full := c.takes[key]
	if full.Before(now) {
		full = now
	}
	full = full.Add(r.Every)
	if over := full.Sub(now) - time.Duration(r.Burst)*r.Every; over > 0 {
		return false, over, nil
	}
	c.takes[key] = full
	return true, full.Sub(now), nil
}

// sweepLocked removes what has expired, now and then, so that memory follows use.
func (c *Local) sweepLocked() {
	if c.writes++; c.writes%sweepEvery != 0 {
		return
	}
	now := c.now()
	for set := range c.values {
		c.keepLocked(set, func(v localValue) bool { return v.until.After(now) })
	}
	for name, l := range c.leases {
		if !l.until.After(now) {
			delete(c.leases, name)
		}
	}
	for key, full := range c.takes {
		if !full.After(now) {
			delete(c.takes, key)
		}
	}
}

// Healthy implements Coord.
func (c *Local) Healthy(context.Context) error { return nil }

// Close implements Coord.
func (c *Local) Close() error {
	c.mu.Lock()
	for channel, subs := range c.subs {
		for s := range subs {
			close(s.queue)
		}
		delete(c.subs, channel)
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

var _ Coord = (*Local)(nil)
