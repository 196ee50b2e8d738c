package store

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"
)

// maxOIDCClients bounds the relying parties of one environment.
const maxOIDCClients = 32

// An OIDCClient is a relying party that asks this hub who somebody is.
type OIDCClient struct {
	Env, ID   string // ID: its client_id
	Version   int64
	Contract  string // of package oidc
	Directory string // whose accounts it asks about; "": nobody's
	Settings  []byte // JSON of package oidc, without secrets
	Secrets   []OIDCSecret
	CreatedAt time.Time
}

// An OIDCSecret is one secret of a client.
type OIDCSecret struct {
	Hash    string    `json:"hash"` // of HashToken
	AddedAt time.Time `json:"added_at"`
}

// AddOIDCClient inserts c under its id, or one of its own; ErrConflict when there is one
// of that id, or the environment has as many as it may. Those that are the environment
// itself or one of its directories do not count.
func (tx *Tx) AddOIDCClient(ctx context.Context, c *OIDCClient) error {
	var n int64
	if err := tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM oidc_clients
		WHERE env = $1 AND id <> env AND id NOT IN (SELECT id FROM directories WHERE env = $1)`, c.Env); err != nil {
		return err
	}
	if n >= maxOIDCClients && c.ID == "" {
		return ErrConflict
	}
	c.ID, c.Version, c.CreatedAt = orNew(c.ID), 1, tx.Now()
	_, err := tx.Exec(ctx, "INSERT INTO oidc_clients (env, id, contract, directory, settings, secrets, version, created_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7)",
		c.Env, c.ID, c.Contract, c.Directory, string(c.Settings), JSON(c.Secrets), Millis(c.CreatedAt))
	return err
}

const oidcClientColumns = "env, id, contract, directory, settings, secrets, version, created_at"

func scanOIDCClient(scan Scan) (c OIDCClient, err error) {
	var settings, secrets string
	var created int64
	if err = scan(&c.Env, &c.ID, &c.Contract, &c.Directory, &settings, &secrets, &c.Version, &created); err != nil {
		return c, err
	}
	c.Settings, c.CreatedAt = []byte(settings), Time(created)
	return c, ParseJSON(secrets, &c.Secrets)
}

// OIDCClients lists those of an environment, oldest first.
func (tx *Tx) OIDCClients(ctx context.Context, env string) ([]OIDCClient, error) {
	return All(ctx, tx, scanOIDCClient, "SELECT "+oidcClientColumns+" FROM oidc_clients WHERE env = $1 ORDER BY created_at, id", env)
}

// OIDCClient returns one.
func (tx *Tx) OIDCClient(ctx context.Context, env, id string) (OIDCClient, error) {
	return One(ctx, tx, scanOIDCClient, "SELECT "+oidcClientColumns+" FROM oidc_clients WHERE env = $1 AND id = $2", env, id)
}

// OIDCClientByID finds a relying party by its client_id, which names its environment.
func (tx *Tx) OIDCClientByID(ctx context.Context, id string) (OIDCClient, error) {
	return One(ctx, tx, scanOIDCClient, "SELECT "+oidcClientColumns+" FROM oidc_clients WHERE id = $1", id)
}

// SaveOIDCClient is the one compare-and-set of a client: ErrConflict if it changed.
func (tx *Tx) SaveOIDCClient(ctx context.Context, c *OIDCClient) error {
	err := tx.Swap(ctx, "UPDATE oidc_clients SET version = version + 1, settings = $4, secrets = $5, directory = $6 WHERE env = $1 AND id = $2 AND version = $3",
		c.Env, c.ID, c.Version, string(c.Settings), JSON(c.Secrets), c.Directory)
	if err == nil {
		c.Version++
	}
	return err
}

// RemoveOIDCClient deletes one, with its keys and what it had asked for.
func (tx *Tx) RemoveOIDCClient(ctx context.Context, env, id string) error {
	return tx.Must(ctx, "DELETE FROM oidc_clients WHERE env = $1 AND id = $2", env, id)
}

// An OIDCKey signs for one client.
type OIDCKey struct {
	Env, Client string
	ID          string // kid
	Algorithm   string // of JWS
	Public      []byte // JSON Web Key
	Private     []byte // PKCS #8; sealed at rest; nil: it lies outside
	Fingerprint string // by which a signer outside of the hub knows it; "": it lies here
	ActiveFrom  time.Time
}

func oidcKeyCell(env, id string) Cell {
	return Cell{Env: env, Table: "oidc_keys", Column: "private", Row: id}
}

// AddOIDCKey inserts k; ErrConflict where it is a client's already, of any environment.
func (tx *Tx) AddOIDCKey(ctx context.Context, k OIDCKey) (err error) {
	private := ""
	if k.Fingerprint == "" {
		private, err = tx.Seal(oidcKeyCell(k.Env, k.ID), k.Private)
	} else if k.Private != nil {
		err = errors.New("store: a key that lies outside has no private part here")
	} else {
		err = tx.unused(ctx, k.ID)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO oidc_keys (env, client, id, algorithm, public, private, fingerprint, active_from) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		k.Env, k.Client, k.ID, k.Algorithm, string(k.Public), private, k.Fingerprint, Millis(k.ActiveFrom))
	return err
}

// unused returns ErrConflict if some client has this key: one that lies outside can be
// named twice, and each client has its own (T11).
func (tx *Tx) unused(ctx context.Context, kid string) error {
	_, err := One(ctx, tx, Text, "SELECT id FROM oidc_keys WHERE id = $1", kid)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil:
		return ErrConflict
	}
	return err
}

// OIDCKeys lists the keys of a client, the newest first.
func (tx *Tx) OIDCKeys(ctx context.Context, env, client string) ([]OIDCKey, error) {
	return All(ctx, tx, func(scan Scan) (k OIDCKey, err error) {
		var public, private string
		var from int64
		if err = scan(&k.Env, &k.Client, &k.ID, &k.Algorithm, &public, &private, &k.Fingerprint, &from); err != nil {
			return k, err
		}
		if k.Public, k.ActiveFrom = []byte(public), Time(from); k.Fingerprint == "" {
			k.Private, err = tx.Unseal(oidcKeyCell(k.Env, k.ID), private)
		}
		return k, err
	}, "SELECT env, client, id, algorithm, public, private, fingerprint, active_from FROM oidc_keys WHERE env = $1 AND client = $2 ORDER BY active_from DESC, id", env, client)
}

// PublishedOIDCKeys lists the public keys of all clients of a contract.
func (tx *Tx) PublishedOIDCKeys(ctx context.Context, contract string) ([]string, error) {
	return All(ctx, tx, Text, `SELECT k.public FROM oidc_keys k JOIN oidc_clients c ON c.env = k.env AND c.id = k.client
		WHERE c.contract = $1 ORDER BY k.env, k.client, k.active_from DESC, k.id`, contract)
}

// An OutsideOIDCKey is a key that lies outside.
type OutsideOIDCKey struct {
	Env, Client string
	Fingerprint string
	ActiveFrom  time.Time
	Newest      bool // no other key takes its place
}

// OutsideOIDCKeys lists those of all clients.
func (tx *Tx) OutsideOIDCKeys(ctx context.Context) ([]OutsideOIDCKey, error) {
	return All(ctx, tx, func(scan Scan) (k OutsideOIDCKey, err error) {
		var from, later int64
		err = scan(&k.Env, &k.Client, &k.Fingerprint, &from, &later)
		k.ActiveFrom, k.Newest = Time(from), later == 0
		return k, err
	}, `SELECT env, client, fingerprint, active_from,
		(SELECT COUNT(*) FROM oidc_keys n WHERE n.env = k.env AND n.client = k.client AND n.active_from > k.active_from)
		FROM oidc_keys k WHERE fingerprint <> '' ORDER BY env, client, active_from DESC, id`)
}

// RemoveOIDCKey deletes one.
func (tx *Tx) RemoveOIDCKey(ctx context.Context, env, id string) error {
	return tx.Must(ctx, "DELETE FROM oidc_keys WHERE env = $1 AND id = $2", env, id)
}

// AllOIDCClients lists those of every environment, for the rotation of their keys.
func (tx *Tx) AllOIDCClients(ctx context.Context) ([]OIDCClient, error) {
	return All(ctx, tx, scanOIDCClient, "SELECT "+oidcClientColumns+" FROM oidc_clients ORDER BY env, id")
}

// An OIDCExchange is one sign-in, from the request of a client to its answer.
type OIDCExchange struct {
	Env, ID   string // ID: of NewSortedID
	Version   int64
	Client    string
	State     string // of package oidc
	Secret    string // hash of the one secret by which it goes on
	Browser   string // hash of the cookie of the browser that began; "": not yet known
	Access    string // hash of the access token; "": none
	Private   []byte // JSON of package oidc; sealed at rest; nil: that of Meaning
	ExpiresAt time.Time
	CreatedAt time.Time

	About   string // what Private says of whom: a person who must not have been erased where it is saved; "": nobody
	Meaning any    // what Private says, for whoever has parsed it; it is not changed

	sealed string // what was sealed,
	of     []byte // and of what; nil: nothing was
}

func oidcExchangeCell(env, id string) Cell {
	return Cell{Env: env, Table: "oidc_exchanges", Column: "private", Row: id}
}

// sealExchange seals Private, unless it is what the row holds already, under the key that seals now.
func (s *Store) sealExchange(e *OIDCExchange) error {
	if e.Private == nil && e.Meaning != nil {
		e.Private = []byte(JSON(e.Meaning))
	}
	if e.of != nil && bytes.Equal(e.of, e.Private) && strings.HasPrefix(e.sealed, s.activeKey().id+".") {
		return nil
	}
	text, err := s.Seal(oidcExchangeCell(e.Env, e.ID), e.Private)
	if err == nil {
		e.sealed, e.of = text, e.Private
	}
	return err
}

// AddOIDCExchange inserts e as version 1.
func (tx *Tx) AddOIDCExchange(ctx context.Context, e *OIDCExchange) error {
	e.of, e.Version, e.CreatedAt = nil, 1, tx.Now()
	return tx.moveExchange(ctx, 0, e)
}

// moveExchange writes e in place of its version from; 0: of none.
func (tx *Tx) moveExchange(ctx context.Context, from int64, e *OIDCExchange) error {
	if k, ok := tx.q.(exchangeKeeper); ok {
		return k.move(ctx, from, e)
	}
	if err := tx.s.sealExchange(e); err != nil {
		return err
	}
	n, err := writeExchange(ctx, tx.q, from, *e)
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

// A move is what a step makes of an exchange.
type move struct {
	from int64 // version; 0: there was none
	next *OIDCExchange
}

// What an exchange is written by. What says something of a person is not written where that
// one was erased.
const (
	insertExchange = `INSERT INTO oidc_exchanges (env, id, version, state, secret_hash, browser, access_hash, private, expires_at, client, created_at)
		SELECT $1, $2, CAST($3 AS BIGINT), $4, $5, $6, $7, $8, CAST($9 AS BIGINT), $10, CAST($11 AS BIGINT) WHERE 1 = 1`
	updateExchange = `UPDATE oidc_exchanges SET version = $3, state = $4, secret_hash = $5, browser = $6, access_hash = $7, private = $8, expires_at = $9
		WHERE env = $1 AND id = $2 AND version = $10`
	unerased = " AND NOT EXISTS (SELECT 1 FROM people p WHERE p.env = $1 AND p.erased_at <> 0 AND p.id = "
)

// writeExchange writes an exchange that is sealed in place of its version from, and returns
// how many rows it changed: none where the row has another version, or whom it is about was
// erased.
func writeExchange(ctx context.Context, q querier, from int64, e OIDCExchange) (int64, error) {
	query, unless := updateExchange, unerased+"$11)"
	args := append(make([]any, 0, 12), e.Env, e.ID, e.Version, e.State, e.Secret, e.Browser, e.Access, e.sealed, Millis(e.ExpiresAt))
	if from == 0 {
		query, unless, args = insertExchange, unerased+"$12)", append(args, e.Client, Millis(e.CreatedAt))
	} else {
		args = append(args, from)
	}
	if e.About != "" {
		query, args = query+unless, append(args, e.About)
	}
	res, err := q.exec(ctx, query, clean(args)...)
	if err != nil {
		return 0, mapError(err)
	}
	n, err := res.RowsAffected()
	return n, mapError(err)
}

const oidcExchangeColumns = "env, id, version, client, state, secret_hash, browser, access_hash, private, expires_at, created_at"

func (tx *Tx) scanOIDCExchange(scan Scan) (e OIDCExchange, err error) {
	var expires, created int64
	if err = scan(&e.Env, &e.ID, &e.Version, &e.Client, &e.State, &e.Secret, &e.Browser, &e.Access, &e.sealed, &expires, &created); err != nil {
		return e, err
	}
	e.ExpiresAt, e.CreatedAt = Time(expires), Time(created)
	e.Private, err = tx.Unseal(oidcExchangeCell(e.Env, e.ID), e.sealed)
	e.of = e.Private
	return e, err
}

// OIDCExchange returns one.
func (tx *Tx) OIDCExchange(ctx context.Context, env, id string) (OIDCExchange, error) {
	if e, ok := tx.keptExchange(id); ok {
		return e, foundIf(e.Env == env)
	}
	tx = tx.direct()
	return One(ctx, tx, tx.scanOIDCExchange, "SELECT "+oidcExchangeColumns+" FROM oidc_exchanges WHERE env = $1 AND id = $2", env, id)
}

// OIDCExchangeByAccess finds an exchange by its id and the hash of its access token.
func (tx *Tx) OIDCExchangeByAccess(ctx context.Context, id, hash string) (OIDCExchange, error) {
	if e, ok := tx.keptExchange(id); ok {
		return e, foundIf(e.Access == hash && hash != "")
	}
	tx = tx.direct()
	return One(ctx, tx, tx.scanOIDCExchange, "SELECT "+oidcExchangeColumns+" FROM oidc_exchanges WHERE id = $1 AND access_hash = $2 AND access_hash <> ''", id, hash)
}

// keptExchange returns one that need not be asked for.
func (tx *Tx) keptExchange(id string) (e OIDCExchange, ok bool) {
	if k, is := tx.q.(exchangeKeeper); is {
		e, ok = k.exchange(id)
	}
	return e, ok
}

// direct is tx for questions about one exchange that is not kept: nothing of it waits.
func (tx *Tx) direct() *Tx {
	k, ok := tx.q.(exchangeKeeper)
	if !ok {
		return tx
	}
	other := *tx
	other.q = k.direct()
	return &other
}

func foundIf(found bool) error {
	if !found {
		return ErrNotFound
	}
	return nil
}

// SaveOIDCExchange is the one compare-and-set of an exchange: ErrConflict if the row has
// another version, or whom it is about was erased.
func (tx *Tx) SaveOIDCExchange(ctx context.Context, e *OIDCExchange) error {
	next := *e
	next.Version++
	err := tx.moveExchange(ctx, e.Version, &next)
	if err == nil {
		*e = next
	}
	return err
}

// UseOIDCToken marks a token of somebody else as taken, until it could not be taken any
// more; ErrConflict if it was before.
func (tx *Tx) UseOIDCToken(ctx context.Context, env, hash string, until time.Time) error {
	n, err := tx.Exec(ctx, "INSERT INTO oidc_used (env, hash, expires_at) VALUES ($1, $2, $3) ON CONFLICT (env, hash) DO NOTHING", env, hash, Millis(until))
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

// PurgeOIDC deletes what ended before a time: of exchanges those that began before it, too,
// which their ids say, so that younger ones need not be looked at.
func (tx *Tx) PurgeOIDC(ctx context.Context, before time.Time) error {
	if _, err := tx.Exec(ctx, "DELETE FROM oidc_exchanges WHERE id < $1 AND expires_at < $2", sortedID(before, [10]byte{}), Millis(before)); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM oidc_used WHERE expires_at < $1", Millis(before))
	return err
}
