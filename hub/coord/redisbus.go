package coord

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// quietCheck is how long the connection that receives may say nothing before it is
// pinged; after a second such time without a sign of life it is dialled anew.
const quietCheck = 5 * time.Second

// Between attempts to connect: short, so that a server that came back is used at
// once, growing, so that an absent one costs nothing.
const (
	retryFirst = 50 * time.Millisecond
	retryMost  = 2 * time.Second
)

// redisBus holds all subscriptions of a process on one connection. Sharded pub/sub is
// used where the server has it: in a cluster the plain kind stalls.
type redisBus struct {
	client redis.UniversalClient
	prefix string
	log    *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	wire    sync.Mutex // held while channels are joined or left, so that the server hears it in the order of subs; before mu
	mu      sync.Mutex
	subs    map[string]*redisChannel // by full name
	leaving map[string]int           // how many confirmations of a leave are still to come
	conn    *redis.PubSub            // nil while the server is away
	sharded bool                     // what the server has; asked at each connection
	known   bool                     // sharded is known
	down    error                    // why conn is nil
	changed chan struct{}            // closed when conn, down or a confirmation changes
	wake    chan struct{}            // buffered: there is a first channel
}

type redisChannel struct {
	confirmed bool
	next      int
	handlers  map[int]func([]byte)
}

func newRedisBus(client redis.UniversalClient, prefix string, log *slog.Logger) *redisBus {
	ctx, cancel := context.WithCancel(context.Background())
	b := &redisBus{
		client: client, prefix: prefix, log: log, cancel: cancel,
		subs: map[string]*redisChannel{}, leaving: map[string]int{}, changed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.wg.Go(func() { b.run(ctx) })
	return b
}

func (b *redisBus) publish(ctx context.Context, channel string, msg []byte) (int, error) {
	sharded, err := b.shardedPublish(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	if sharded {
		n, err = b.client.SPublish(ctx, b.prefix+channel, msg).Result()
	} else {
		n, err = b.client.Publish(ctx, b.prefix+channel, msg).Result()
		if _, cluster := b.client.(*redis.ClusterClient); cluster {
			n = -1 // it counts those of one server only
		}
	}
	if unknownCommand(err) { // the server was replaced by an older one: ask again next time
		b.mu.Lock()
		b.known = false
		b.mu.Unlock()
	}
	return int(n), err
}

// shardedPublish reports what the server has, and asks it if nobody did yet.
func (b *redisBus) shardedPublish(ctx context.Context) (bool, error) {
	b.mu.Lock()
	sharded, known := b.sharded, b.known
	b.mu.Unlock()
	if known {
		return sharded, nil
	}
	return b.ask(ctx)
}

// ask finds out whether the server has sharded pub/sub, by a message that nobody hears.
func (b *redisBus) ask(ctx context.Context) (bool, error) {
	err := b.client.SPublish(ctx, b.prefix+"probe", "").Err()
	if err != nil && !unknownCommand(err) {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sharded, b.known = err == nil, true
	return b.sharded, nil
}

func unknownCommand(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "ERR unknown command")
}

func (b *redisBus) subscribe(ctx context.Context, channel string, f func([]byte)) func() {
	name := b.prefix + channel
	c, id := b.join(ctx, name, f)
	b.awaitConfirmed(ctx, c)
	return func() { b.leave(name, c, id) }
}

// join adds a handler and, for a first one, joins the channel.
func (b *redisBus) join(ctx context.Context, name string, f func([]byte)) (*redisChannel, int) {
	b.wire.Lock()
	defer b.wire.Unlock()
	b.mu.Lock()
	c := b.subs[name]
	first := c == nil
	if first {
		c = &redisChannel{handlers: map[int]func([]byte){}}
		b.subs[name] = c
	}
	id := c.next
	c.next++
	c.handlers[id] = f
	conn, sharded := b.conn, b.sharded
	b.mu.Unlock()
	switch {
	case conn == nil:
		select {
		case b.wake <- struct{}{}:
		default:
		}
	case first:
		_ = joinChannels(ctx, conn, sharded, name) // a failure ends the connection, and the next one joins again
	}
	return c, id
}

// awaitConfirmed waits until the server has confirmed the channel, the server is known
// to be away, or ctx ends.
func (b *redisBus) awaitConfirmed(ctx context.Context, c *redisChannel) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		b.mu.Lock()
		over, changed := c.confirmed || b.down != nil, b.changed
		b.mu.Unlock()
		if over {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// leave removes a handler and, with the last one, leaves the channel.
func (b *redisBus) leave(name string, c *redisChannel, id int) {
	b.wire.Lock()
	defer b.wire.Unlock()
	b.mu.Lock()
	delete(c.handlers, id)
	if len(c.handlers) > 0 || b.subs[name] != c {
		b.mu.Unlock()
		return
	}
	delete(b.subs, name)
	conn, sharded := b.conn, b.sharded
	if conn != nil {
		b.leaving[name]++
	}
	b.mu.Unlock()
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if sharded {
		_ = conn.SUnsubscribe(ctx, name) // failing, the connection is broken and will not be used again
	} else {
		_ = conn.Unsubscribe(ctx, name)
	}
}

func joinChannels(ctx context.Context, conn *redis.PubSub, sharded bool, names ...string) error {
	if sharded {
		return conn.SSubscribe(ctx, names...)
	}
	return conn.Subscribe(ctx, names...)
}

// run keeps one receiving connection while there is a channel.
func (b *redisBus) run(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := b.session(ctx)
		if err == nil { // no channel yet
			select {
			case <-ctx.Done():
			case <-b.wake:
			}
			continue
		}
		if time.Since(began) > retryMost {
			wait = retryFirst
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, retryMost)
	}
}

// session connects, joins all channels and hands out messages until the connection
// ends. It returns nil at once when there is no channel.
func (b *redisBus) session(ctx context.Context) error {
	b.mu.Lock()
	none := len(b.subs) == 0
	b.mu.Unlock()
	if none {
		return nil
	}
	conn, err := b.connect(ctx)
	if err != nil {
		b.disconnected(err)
		return err
	}
	b.log.Info("coordinator connected")
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a blocked read ends only so
	defer stop()
	err = b.receive(ctx, conn)
	b.disconnected(err)
	_ = conn.Close()
	if ctx.Err() == nil {
		b.log.Warn("coordinator connection lost", "error", err)
	}
	return err
}

// connect joins every channel on a new connection. Those that appear from here on
// are joined by whoever adds them.
func (b *redisBus) connect(ctx context.Context) (*redis.PubSub, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	sharded, err := b.ask(ctx)
	if err != nil {
		return nil, err
	}
	b.wire.Lock()
	defer b.wire.Unlock()
	conn := b.client.Subscribe(ctx) // no channel yet, no connection yet
	b.mu.Lock()
	names := slices.Collect(maps.Keys(b.subs))
	clear(b.leaving)
	b.mu.Unlock()
	if len(names) > 0 {
		if err := joinChannels(ctx, conn, sharded, names...); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	b.mu.Lock()
	b.conn, b.down = conn, nil
	b.mu.Unlock()
	return conn, nil
}

// disconnected records the end of a connection: nothing is confirmed any more.
func (b *redisBus) disconnected(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn, b.down = nil, why
	for _, c := range b.subs {
		c.confirmed = false
	}
	b.changedLocked()
}

func (b *redisBus) changedLocked() {
	close(b.changed)
	b.changed = make(chan struct{})
}

var errSilent = errors.New("coord: the server fell silent")

// receive hands out messages. It pings a quiet connection, because a peer that
// vanished sends nothing either.
func (b *redisBus) receive(ctx context.Context, conn *redis.PubSub) error {
	pinged := false
	for {
		msg, err := conn.ReceiveTimeout(ctx, quietCheck)
		switch {
		case err == nil:
			pinged = false
		case isTimeout(err) && ctx.Err() == nil && !pinged:
			if err := conn.Ping(ctx); err != nil {
				return err
			}
			pinged = true
			continue
		case isTimeout(err):
			return errSilent
		default:
			return err
		}
		switch m := msg.(type) {
		case *redis.Message:
			b.deliver(m)
		case *redis.Subscription:
			if err := b.confirm(m); err != nil {
				return err
			}
		}
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func (b *redisBus) deliver(m *redis.Message) {
	b.mu.Lock()
	c := b.subs[m.Channel]
	var handlers []func([]byte)
	if c != nil {
		handlers = slices.AppendSeq(handlers, maps.Values(c.handlers))
	}
	b.mu.Unlock()
	for _, f := range handlers {
		f([]byte(m.Payload))
	}
}

var errMoved = errors.New("coord: the server ended a subscription")

// confirm notes that a channel is in force. A cluster that moves the slot ends
// subscriptions unasked: then the connection is made anew.
func (b *redisBus) confirm(m *redis.Subscription) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.subs[m.Channel]
	switch {
	case strings.HasSuffix(m.Kind, "unsubscribe"):
		if b.leaving[m.Channel]--; b.leaving[m.Channel] > 0 {
			return nil
		} else if b.leaving[m.Channel] == 0 {
			delete(b.leaving, m.Channel)
			return nil
		}
		return errMoved
	case c == nil:
		return nil
	}
	c.confirmed = true
	b.changedLocked()
	return nil
}

func (b *redisBus) healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down != nil {
		return outage(b.down)
	}
	return nil
}

func (b *redisBus) close() {
	b.cancel()
	b.wg.Wait()
}
