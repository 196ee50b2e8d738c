package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/domain"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
)

// Syncer keeps accounts in step with directories.
type Syncer interface {
	// SyncNow asks for a pass and does not wait for it.
	SyncNow(ctx context.Context, env, directory string) error
}

// Tunnels knows which agents are connected to any node.
type Tunnels interface {
	// Connected returns the nodes that hold a tunnel of the agent.
	Connected(ctx context.Context, env, directory, agent string) ([]string, error)
}

// Storage tries what organisations say of storage of their own, and reads what lies there.
type Storage interface {
	store.Shelf
	// Test returns what is wrong with settings, "" if nothing is.
	Test(ctx context.Context, set storage.Settings) string
}

// Mail sends mails.
type Mail interface {
	// Usable reports whether the hub has a mail server.
	Usable() bool
	// Test sends one mail now and tells what the mail server answered.
	Test(ctx context.Context, env, to string) (notify.Tested, error)
}

// Config is what the API works with. Every member is needed.
type Config struct {
	Store       *store.Store
	Domains     *domain.Domains
	Sync        Syncer
	Tunnels     Tunnels
	Examiner    Examiner
	Recoveries  Recoveries
	Acts        Acts
	Checks      Checks
	Requests    *request.Requests
	Evaluations *evaluation.Runs
	Members     Members
	Buckets     Buckets
	Faces       Faces
	Audit       *audit.Log
	Storage     Storage
	Signer      party.Signer
	Trust       *wallet.Lists // of authorities whose documents count
	Exports     Exports
	Mail        Mail
	Console     func() string // origin of the console
	// Ticket holds the address and keys of this hub; directory, secret and end are
	// filled in for each ticket.
	Ticket protocol.Ticket
	// Origin returns scheme and host of a recovery domain's site.
	Origin func(domain string) string
	Log    *slog.Logger
}

// API serves the rows of routes. Everything it does not know is a plain 404.
type API struct {
	Config
	mux       *http.ServeMux
	own       *limits // of this node, while the coordinator is away
	strangers class
	decoding  chan struct{} // how many photos are decoded at once
	archives  *places       // archives that lie on the disk
	streams   *streams
}

// New returns a handler of the paths below /api/ and /people/ that routes lists.
func New(c Config) *API {
	a := &API{Config: c, mux: http.NewServeMux(), own: newLimits(time.Now), strangers: strangers, decoding: make(chan struct{}, decoders), archives: newPlaces(archives, archivesOfOrg), streams: newStreams()}
	for _, row := range routes() {
		a.mux.Handle(row.pattern, a.endpoint(row))
	}
	a.mux.HandleFunc(preflightRow().pattern, a.preflight)
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if !isPlainPath(r) {
		a.turnAway(w, r, http.StatusNotFound, "not found")
		return
	}
	handler, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.unknown(w, r, handler)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// unknown answers what no row is for: 405 where another method would do.
func (a *API) unknown(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	probe := &statusOnly{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status != http.StatusMethodNotAllowed {
		a.turnAway(w, r, http.StatusNotFound, "not found")
		return
	}
	methods := strings.Split(probe.header.Get("Allow"), ", ")
	a.otherMethod(w, r, slices.DeleteFunc(methods, func(m string) bool { return m == http.MethodHead }))
}

// otherMethod answers a method that no row of the path has.
func (a *API) otherMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	a.turnAway(w, r, http.StatusMethodNotAllowed, "this method is not for this path")
}

// turnAway answers what reaches no row, as often as strangers may ask.
func (a *API) turnAway(w http.ResponseWriter, r *http.Request, status int, text string) {
	c := newCall(a, row{}, w, r)
	if err := c.stranger(r.Context()); err != nil {
		c.fail(err)
		return
	}
	fail(w, status, text)
}

// statusOnly learns what ServeMux would answer, without its body.
type statusOnly struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (s *statusOnly) Header() http.Header { return s.header }

// Write implements http.ResponseWriter.
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (s *statusOnly) WriteHeader(code int) { s.status = code }

// endpoint returns the handler of a row.
func (a *API) endpoint(row row) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != row.method() { // ServeMux takes HEAD for GET
			a.otherMethod(w, r, methodsOf(row.path()))
			return
		}
		if !row.fits(r) {
			a.turnAway(w, r, http.StatusNotFound, "not found")
			return
		}
		c := newCall(a, row, w, r)
		if row.do.socket != nil && websocket.IsWebSocketUpgrade(r) {
			if err := c.open(r.Context()); err != nil {
				c.fail(err)
			}
			return
		}
		reply, err := c.serve(r.Context())
		if err != nil {
			c.fail(err)
			return
		}
		c.answer(reply)
	})
}

// answer writes the reply with the row's status.
func (c *call) answer(reply any) {
	if c.row.status == http.StatusNoContent {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	if picture, ok := reply.(jpegImage); ok {
		c.w.Header().Set("Content-Type", "image/jpeg")
		_, _ = c.w.Write(picture)
		return
	}
	b, err := json.Marshal(reply)
	if err != nil {
		c.fail(err)
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(c.row.status)
	_, _ = c.w.Write(b) // a client that left is no error
}

// serve carries the request out: who asks, how often, what for, in one transaction with
// its audit record; then what cannot be in a transaction.
func (c *call) serve(ctx context.Context) (reply any, err error) {
	if err := c.admit(ctx); err != nil {
		return nil, err
	}
	if c.row.do.before != nil {
		if err := c.row.do.before(ctx, c); err != nil {
			return nil, err
		}
	}
	err = c.transaction(ctx, func(tx *store.Tx) error {
		reply, err = c.within(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.row.do.after == nil {
		return reply, nil
	}
	return c.row.do.after(ctx, c, reply)
}

// open is serve for a WebSocket.
func (c *call) open(ctx context.Context) error {
	if err := c.admit(ctx); err != nil {
		return err
	}
	return c.row.do.socket(ctx, c)
}

// admit turns away, before a transaction that writes, who has no key, not the role,
// asks too often, or asks for what is another environment's.
func (c *call) admit(ctx context.Context) error {
	if c.byPerson() {
		return c.admitPerson(ctx)
	}
	if err := c.identify(ctx); err != nil {
		return err
	}
	c.touch(ctx)
	if !c.org.Admits(c.from()) { // whoever has the text of a key shuts nobody out of its own
		return cmp.Or(c.stranger(ctx), errAddress)
	}
	if err := c.limit(ctx, c.key.ID, c.row.class); err != nil {
		return err
	}
	if !roleReaches(c.key.Role, c.row.role) {
		return errForbidden
	}
	if err := c.api.Store.Read(ctx, func(tx *store.Tx) error { return c.resolve(ctx, tx) }); err != nil {
		return err
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	return c.readBody()
}

// identify finds the key and its organisation. Whoever has no good key is counted.
func (c *call) identify(ctx context.Context) error {
	err := c.api.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if err = c.authenticate(ctx, tx); err == nil {
			c.org, err = tx.Organisation(ctx, c.key.Org)
		}
		return err
	})
	if err == nil && c.row.bearer && !isBearer(c.r) {
		err = errBearer
	}
	if errors.Is(err, errUnauthorized) || errors.Is(err, errBearer) {
		return cmp.Or(c.stranger(ctx), err)
	}
	return err
}

// transaction reads, or writes where the row leaves a record.
func (c *call) transaction(ctx context.Context, fn func(*store.Tx) error) error {
	if c.row.kind == "" {
		return c.api.Store.Read(ctx, fn)
	}
	return c.api.Store.Tx(ctx, fn)
}

// within is the part of serve that is one transaction. It may run several times. Key
// and ids are read again: nothing happens by a key that was switched off meanwhile.
func (c *call) within(ctx context.Context, tx *store.Tx) (any, error) {
	if err := c.authorise(ctx, tx); err != nil {
		return nil, err
	}
	if err := c.resolve(ctx, tx); err != nil {
		return nil, err
	}
	reply, err := c.row.do.run(ctx, c, tx)
	if err != nil {
		return nil, err
	}
	return reply, c.record(ctx, tx, reply)
}

// authorise finds whoever asks, and whether they may.
func (c *call) authorise(ctx context.Context, tx *store.Tx) error {
	if c.byPerson() {
		return c.showToken(ctx, tx)
	}
	if err := c.authenticate(ctx, tx); err != nil {
		return err
	}
	if !roleReaches(c.key.Role, c.row.role) {
		return errForbidden
	}
	return nil
}

// touch notes that the key was used, whatever comes of it: also of one that is refused
// somebody has the text. That it could not is no reason to fail.
func (c *call) touch(ctx context.Context) {
	if !c.key.UseDue(time.Now()) {
		return
	}
	err := c.api.Store.Tx(ctx, func(tx *store.Tx) error { return tx.TouchAPIKey(ctx, c.key.Org, c.key.ID) })
	if err != nil && !errors.Is(err, context.Canceled) {
		c.api.Log.Warn("last use of a key not recorded", "api_key", c.key.ID, "error", err)
	}
}
