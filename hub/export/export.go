package export

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// TestKind is the kind of test events. They are not in the log.
const TestKind audit.Kind = "audit_destination_test"

// Times of sending.
const (
	lookEvery  = time.Second
	claimFor   = time.Minute // longer than one sending; what a dead node had waits as long
	againAfter = 2 * time.Second
	againMost  = 5 * time.Minute
	noteWithin = 5 * time.Second // to write down what was sent while the hub stops
)

// Config is what New needs.
type Config struct {
	Store  *store.Store
	Client *http.Client                                                      // goes where destinations may be and nowhere else
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // likewise
	Host   string                                                            // of this hub, as events name it
	Log    *slog.Logger
}

// Exports sends the audit log to the destinations of organisations. It is safe for use by
// many goroutines.
type Exports struct {
	store  *store.Store
	client *http.Client
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	host   string
	log    *slog.Logger

	mu   sync.Mutex
	busy map[string]bool // destinations that this node sends to
}

// New makes Exports. The caller runs Run.
func New(c Config) *Exports {
	return &Exports{store: c.Store, client: c.Client, dial: c.Dial, host: c.Host, log: c.Log, busy: map[string]bool{}}
}

// Run sends what is new until ctx ends. Every node runs it; one of them at a time sends
// to a destination.
func (x *Exports) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	away := false
	for {
		due, err := store.Look(ctx, x.store, func(tx *store.Tx) ([]string, error) { return tx.DueDestinations(ctx) })
		if (err != nil) != away && ctx.Err() == nil {
			away = err != nil
			x.log.WarnContext(ctx, "audit export", "reachable", !away, "err", err)
		}
		for _, id := range due {
			if x.begin(id) {
				wg.Go(func() { x.follow(ctx, id) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

func (x *Exports) begin(id string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.busy[id] {
		return false
	}
	x.busy[id] = true
	return true
}

// follow sends to one destination while there is more and it takes it.
func (x *Exports) follow(ctx context.Context, id string) {
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.busy, id)
	}()
	for ctx.Err() == nil {
		more, err := x.step(ctx, id)
		if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			x.log.WarnContext(ctx, "audit export failed", "destination", id, "err", err)
		}
		if !more || err != nil {
			return
		}
	}
}

// A batch is what is sent at once.
type batch struct {
	to       store.Destination
	settings Settings
	messages [][]byte
	dropped  int64
	next     int64
	more     bool
}

// step sends the next batch to one destination, and reports whether there may be more.
func (x *Exports) step(ctx context.Context, id string) (more bool, err error) {
	b, err := store.Change(ctx, x.store, func(tx *store.Tx) (batch, error) { return x.claim(ctx, tx, id) })
	if err != nil {
		return false, x.unread(ctx, id, err)
	}
	if len(b.messages) > 0 {
		err = x.send(ctx, b.settings, b.messages)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWithin)
	defer cancel()
	if err != nil {
		return false, x.store.Tx(ctx, func(tx *store.Tx) error { return failed(ctx, tx, b.to, err) })
	}
	return b.more, x.store.Tx(ctx, func(tx *store.Tx) error {
		return tx.DestinationSent(ctx, b.to, b.next, int64(len(b.messages)), b.dropped)
	})
}

// failed writes down why a destination got nothing, for the owners, and when it is tried again.
func failed(ctx context.Context, tx *store.Tx, to store.Destination, why error) error {
	return tx.DestinationFailed(ctx, to, why.Error(), tx.Now().Add(min(againMost, againAfter<<min(to.Failures, 10))))
}

// unread is failed where what comes next cannot even be read. It returns why.
func (x *Exports) unread(ctx context.Context, id string, why error) error {
	if errors.Is(why, store.ErrConflict) || errors.Is(why, store.ErrNotFound) || ctx.Err() != nil {
		return why
	}
	return errors.Join(why, x.store.Tx(ctx, func(tx *store.Tx) error {
		to, err := tx.ClaimDestination(ctx, id, tx.Now().Add(claimFor))
		if err != nil {
			return err
		}
		return failed(ctx, tx, to, why)
	}))
}

// claim takes a destination for this node and reads what it gets next.
func (x *Exports) claim(ctx context.Context, tx *store.Tx, id string) (b batch, err error) {
	if b.to, err = tx.ClaimDestination(ctx, id, tx.Now().Add(claimFor)); err != nil {
		return b, err
	}
	if b.settings, err = read(b.to); err != nil {
		return b, err
	}
	events, next, err := audit.FollowAll(ctx, tx, b.to.Org, func(string) bool { return true }, b.to.Next)
	if err != nil {
		return b, err
	}
	b.next, b.more = next, next > b.to.Next
	for _, r := range events {
		if !b.settings.wants(r) {
			continue
		}
		e, err := b.settings.of(r)
		if err != nil {
			return b, err
		}
		m, err := b.settings.message(e, x.host)
		if err != nil {
			return b, err
		}
		if m == nil {
			b.dropped++
			continue
		}
		b.messages = append(b.messages, m)
	}
	return b, nil
}

// Test sends one event of TestKind, which is not in the log, and returns why the
// collector did not take it.
func (x *Exports) Test(ctx context.Context, d store.Destination) error {
	s, err := read(d)
	if err != nil {
		return err
	}
	at := x.store.Now().UTC().Truncate(time.Millisecond)
	raw, err := json.Marshal(testEvent{ID: audit.FirstID(at), Time: at, Kind: TestKind, Org: d.Org, Test: true})
	if err != nil {
		return err
	}
	e, err := Parse(raw)
	if err != nil {
		return err
	}
	m, err := s.message(e, x.host)
	if err != nil {
		return err
	}
	return x.send(ctx, s, [][]byte{m})
}

// A testEvent says what it is.
type testEvent struct {
	ID   string     `json:"id"`
	Time time.Time  `json:"time"`
	Kind audit.Kind `json:"kind"`
	Org  string     `json:"org"`
	Test bool       `json:"test"`
}
