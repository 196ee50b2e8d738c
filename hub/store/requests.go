package store

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A Request is what an organisation asks people for, with the link that it hands out.
type Request struct {
	Env, ID   string
	Version   int64
	State     string // a RequestStatus of the public API
	Progress  string // a RequestProgress of the public API
	Label     string
	Template  string // name; "" none
	Scopes    []string
	Claims    []string
	Origin    string // recovery domain of the link
	Ticket    string // the secret of the link; sealed at rest
	MaxUses   int    // 0: no limit
	Uses      int
	ShareLife time.Duration // how long what is shared may be read; 0: no end
	Person    string        // who shared last
	Source    string        // a RequestVerificationSource
	Exchange  string        // of package oidc, for which alone it is made; "": the organisation asks
	Account   string        // row id of the account that an exchange means, with whose photo people compare the person; "": none
	Keeps     bool          // an exchange waits, and what is shared is kept like an answer to the organisation
	Selfie    bool          // only a proof with a new selfie counts
	ExpiresAt time.Time
	CreatedAt time.Time
	UpdatedAt time.Time

	MailDomains []string // of which a mail address must be; empty: any
	MadeBy      string   // API key; "": an application asks through OpenID Connect
	Requester   string   // staff whose key that is; "": a program's
}

func ticketCell(env, id string) Cell {
	return Cell{Env: env, Table: "requests", Column: "ticket", Row: id}
}

// AddRequest inserts r as version 1.
func (tx *Tx) AddRequest(ctx context.Context, r *Request) error {
	ticket, err := tx.Seal(ticketCell(r.Env, r.ID), []byte(r.Ticket))
	if err != nil {
		return err
	}
	r.Version, r.CreatedAt, r.UpdatedAt = 1, tx.Now(), tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO requests (env, id, version, state, progress, label, template, scopes, claims, origin, ticket, ticket_hash, max_uses,
		share_life, expires_at, created_at, updated_at, exchange, keeps, account, mail_domains, selfie, made_by, requester)
		VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17, $18, $19, $20, $21, $22)`,
		r.Env, r.ID, r.State, r.Progress, r.Label, r.Template, JSON(r.Scopes), JSON(r.Claims), r.Origin, ticket, HashToken(r.Ticket), r.MaxUses,
		int64(r.ShareLife/time.Second), Millis(r.ExpiresAt), Millis(r.CreatedAt), r.Exchange, Flag(r.Keeps), r.Account, JSON(append([]string{}, r.MailDomains...)), Flag(r.Selfie), r.MadeBy, r.Requester)
	return err
}

const requestColumns = `env, id, version, state, progress, label, template, scopes, claims, origin, ticket, max_uses, uses, share_life, person, source,
	expires_at, created_at, updated_at, exchange, keeps, account, mail_domains, selfie, made_by, requester`

func (tx *Tx) scanRequest(scan Scan) (r Request, err error) {
	var scopes, claims, ticket, domains string
	var maxUses, uses, life, expires, created, updated, keeps, selfie int64
	if err = scan(&r.Env, &r.ID, &r.Version, &r.State, &r.Progress, &r.Label, &r.Template, &scopes, &claims, &r.Origin, &ticket, &maxUses, &uses, &life,
		&r.Person, &r.Source, &expires, &created, &updated, &r.Exchange, &keeps, &r.Account, &domains, &selfie, &r.MadeBy, &r.Requester); err != nil {
		return r, err
	}
	r.Keeps, r.Selfie = keeps != 0, selfie != 0
	if err = ParseJSON(domains, &r.MailDomains); err != nil {
		return r, err
	}
	r.MaxUses, r.Uses, r.ShareLife = int(maxUses), int(uses), time.Duration(life)*time.Second
	r.ExpiresAt, r.CreatedAt, r.UpdatedAt = Time(expires), Time(created), Time(updated)
	if err = ParseJSON(scopes, &r.Scopes); err != nil {
		return r, err
	}
	if err = ParseJSON(claims, &r.Claims); err != nil {
		return r, err
	}
	plain, err := tx.Unseal(ticketCell(r.Env, r.ID), ticket)
	r.Ticket = string(plain)
	return r, err
}

// Request returns one request.
func (tx *Tx) Request(ctx context.Context, env, id string) (Request, error) {
	return One(ctx, tx, tx.scanRequest, "SELECT "+requestColumns+" FROM requests WHERE env = $1 AND id = $2", env, id)
}

// RequestByID finds a request in whatever environment; the caller checks that.
func (tx *Tx) RequestByID(ctx context.Context, id string) (Request, error) {
	return One(ctx, tx, tx.scanRequest, "SELECT "+requestColumns+" FROM requests WHERE id = $1", id)
}

// RequestByTicket finds the request of a link.
func (tx *Tx) RequestByTicket(ctx context.Context, env, ticket string) (Request, error) {
	return One(ctx, tx, tx.scanRequest, "SELECT "+requestColumns+" FROM requests WHERE env = $1 AND ticket_hash = $2", env, HashToken(ticket))
}

// SaveRequest is the one compare-and-set of a request: it writes every member that can
// change if the row still has r.Version, else ErrConflict.
func (tx *Tx) SaveRequest(ctx context.Context, r *Request) error {
	err := tx.Swap(ctx, `UPDATE requests SET version = version + 1, state = $4, progress = $5, label = $6, uses = $7, person = $8, source = $9, updated_at = $10,
		expires_at = $11 WHERE env = $1 AND id = $2 AND version = $3`, r.Env, r.ID, r.Version, r.State, r.Progress, r.Label, r.Uses, r.Person, r.Source, Millis(tx.Now()), Millis(r.ExpiresAt))
	if err == nil {
		r.Version++
		r.UpdatedAt = tx.Now()
	}
	return err
}

// A RequestFilter says which requests of an environment are listed.
type RequestFilter struct {
	Query         string // part of the label or the id
	Requester     string // staff who asked; "": whoever
	MadeBy        string // API key; "": whichever
	States        []string
	Without       string    // a state that is left out
	UpdatedAfter  time.Time // zero: whenever
	UpdatedBefore time.Time
	ByUpdate      bool // sort by the last change in place of the creation
	OldestFirst   bool
	Offset, Count int
}

func (f RequestFilter) where(env string) *where {
	w := &where{text: "env = $1", args: []any{env}}
	w.add("lower(id || ' ' || label) LIKE $%d ESCAPE '!'", "%"+escapeLike(strings.ToLower(f.Query))+"%", f.Query != "")
	w.oneOf("state", f.States)
	w.add("state <> $%d", f.Without, f.Without != "")
	w.add("requester = $%d AND requester <> ''", f.Requester, f.Requester != "")
	w.add("made_by = $%d", f.MadeBy, f.MadeBy != "")
	w.add("updated_at >= $%d", Millis(f.UpdatedAfter), !f.UpdatedAfter.IsZero())
	w.add("updated_at < $%d", Millis(f.UpdatedBefore), !f.UpdatedBefore.IsZero())
	return w
}

// Requests lists requests.
func (tx *Tx) Requests(ctx context.Context, env string, f RequestFilter) ([]Request, error) {
	w, order := f.where(env), "created_at"
	if f.ByUpdate {
		order = "updated_at"
	}
	if !f.OldestFirst {
		order += " DESC"
	}
	return All(ctx, tx, tx.scanRequest, fmt.Sprintf("SELECT %s FROM requests WHERE %s ORDER BY %s, id LIMIT %d OFFSET %d",
		requestColumns, w.text, order, f.Count, f.Offset), w.args...)
}

// CountRequests counts what Requests lists without its page.
func (tx *Tx) CountRequests(ctx context.Context, env string, f RequestFilter) (int, error) {
	var n int64
	w := f.where(env)
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM requests WHERE "+w.text, w.args...)
	return int(n), err
}

// RequestsBy counts the requests that each member of an organisation's staff made, by
// their ids. Who made none is not in it.
func (tx *Tx) RequestsBy(ctx context.Context, org string) (map[string]int, error) {
	type count struct {
		who string
		n   int64
	}
	all, err := All(ctx, tx, func(scan Scan) (c count, err error) { return c, scan(&c.who, &c.n) }, `SELECT requester, COUNT(*) FROM requests
		WHERE requester <> '' AND env IN (SELECT id FROM environments WHERE org = $1) GROUP BY requester`, org)
	by := make(map[string]int, len(all))
	for _, c := range all {
		by[c.who] = int(c.n)
	}
	return by, err
}

// maxDueRequests bounds one look.
const maxDueRequests = 200

// DueRequests lists requests that have ended without an answer, of every environment.
func (tx *Tx) DueRequests(ctx context.Context) ([]Request, error) {
	return All(ctx, tx, tx.scanRequest, "SELECT "+requestColumns+` FROM requests WHERE state IN ('pending', 'in_progress', 'rejected_appealed') AND expires_at <= $1
		ORDER BY expires_at LIMIT $2`, Millis(tx.Now()), maxDueRequests)
}

// A RequestUse is one person who opened the link of a request: a plain verification.
type RequestUse struct {
	Env, ID   string // ID: base64url of the hub's random part
	Version   int64
	Request   string
	Session   string // hash
	State     string
	Method    string // that is asked for
	Person    string // once they shared
	Language  string
	Private   []byte // JSON of what was proven; sealed at rest, gone once shared or not
	ExpiresAt time.Time
	CreatedAt time.Time
}

func useCell(env, id string) Cell {
	return Cell{Env: env, Table: "request_uses", Column: "private", Row: id}
}

// AddRequestUse inserts u as version 1.
func (tx *Tx) AddRequestUse(ctx context.Context, u *RequestUse) error {
	u.Version, u.CreatedAt = 1, tx.Now()
	private, err := tx.sealedOrEmpty(useCell(u.Env, u.ID), u.Private)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO request_uses (env, id, version, request, session, state, language, expires_at, created_at, private)
		VALUES ($1, $2, 1, $3, $4, $5, $6, $7, $8, $9)`, u.Env, u.ID, u.Request, u.Session, u.State, u.Language, Millis(u.ExpiresAt), Millis(u.CreatedAt), private)
	return err
}

// RequestUse returns one use.
func (tx *Tx) RequestUse(ctx context.Context, env, id string) (RequestUse, error) {
	return One(ctx, tx, func(scan Scan) (u RequestUse, err error) {
		var private string
		var expires, created int64
		if err = scan(&u.Env, &u.ID, &u.Version, &u.Request, &u.Session, &u.State, &u.Method, &u.Person, &u.Language, &private, &expires, &created); err != nil {
			return u, err
		}
		u.ExpiresAt, u.CreatedAt = Time(expires), Time(created)
		u.Private, err = tx.openOrEmpty(useCell(u.Env, u.ID), private)
		return u, err
	}, `SELECT env, id, version, request, session, state, method, person, language, private, expires_at, created_at FROM request_uses WHERE env = $1 AND id = $2`, env, id)
}

// SaveRequestUse is the one compare-and-set of a use, see SaveRequest.
func (tx *Tx) SaveRequestUse(ctx context.Context, u *RequestUse) error {
	private, err := tx.sealedOrEmpty(useCell(u.Env, u.ID), u.Private)
	if err != nil {
		return err
	}
	err = tx.Swap(ctx, `UPDATE request_uses SET version = version + 1, state = $4, method = $5, person = $6, private = $7, expires_at = $8
		WHERE env = $1 AND id = $2 AND version = $3`, u.Env, u.ID, u.Version, u.State, u.Method, u.Person, private, Millis(u.ExpiresAt))
	if err == nil {
		u.Version++
	}
	return err
}

// PurgeRequestUses deletes uses that ended before a time, with their challenges.
func (tx *Tx) PurgeRequestUses(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM codes WHERE verification IN (SELECT id FROM request_uses WHERE expires_at < $1)`, Millis(before))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM request_uses WHERE expires_at < $1", Millis(before))
	return err
}
