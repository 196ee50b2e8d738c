package store

import (
	"context"
	"time"
)

// An EndedShare is a consent whose time is over.
type EndedShare struct{ Env, Request, Person string }

// maxEndedShares bounds one look.
const maxEndedShares = 200

// EndedShares lists consents whose time is over and that EndShare has not ended, of every
// environment.
func (tx *Tx) EndedShares(ctx context.Context) ([]EndedShare, error) {
	return All(ctx, tx, func(scan Scan) (s EndedShare, err error) { return s, scan(&s.Env, &s.Request, &s.Person) },
		`SELECT env, request, person FROM request_shares WHERE expires_at > 0 AND expires_at <= $1 AND ended_at = 0 AND revoked_at = 0
		ORDER BY expires_at LIMIT $2`, Millis(tx.Now()), maxEndedShares)
}

// EndShare ends a consent whose time is over, once: ErrConflict afterwards. What was
// shared by it and by nothing later is forgotten.
func (tx *Tx) EndShare(ctx context.Context, env, request, person string) error {
	if err := tx.Swap(ctx, `UPDATE request_shares SET ended_at = $4, client = '' WHERE env = $1 AND request = $2 AND person = $3 AND ended_at = 0`,
		env, request, person, Millis(tx.Now())); err != nil {
		return err
	}
	tx.erased = true
	const over = ` FROM person_pictures WHERE env = $1 AND person = $2 AND EXISTS
		(SELECT 1 FROM properties p WHERE p.env = $1 AND p.person = $2 AND p.claim = $3 AND p.expires_at > 0 AND p.expires_at <= $4)`
	for _, statement := range []string{"INSERT INTO storage_removals (env, storage, object) SELECT env, storage, body" + over + " AND storage <> '' ON CONFLICT DO NOTHING", "DELETE" + over} {
		if _, err := tx.Exec(ctx, statement, env, person, PictureClaim, Millis(tx.Now())); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE properties SET value = '' WHERE env = $1 AND person = $2 AND expires_at > 0 AND expires_at <= $3`,
		env, person, Millis(tx.Now()))
	return err
}

// A RequestSend is a link on its way to a phone.
type RequestSend struct {
	Env, Request string
	Message      []byte // sealed at rest
	Err          error  // why Message does not open; ErrMasterKey: this node lacks its key. Nil: it does
	Tries        int
}

func sendCell(env, request string) Cell {
	return Cell{Env: env, Table: "request_sends", Column: "address", Row: request}
}

// AddRequestSend queues a message.
func (tx *Tx) AddRequestSend(ctx context.Context, s RequestSend) error {
	address, err := tx.Seal(sendCell(s.Env, s.Request), s.Message)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO request_sends (env, request, address, next_at) VALUES ($1, $2, $3, $4)`, s.Env, s.Request, address, Millis(tx.Now()))
	return err
}

// RequestSend returns the message of a request that is still on its way.
func (tx *Tx) RequestSend(ctx context.Context, env, request string) (RequestSend, error) {
	return One(ctx, tx, func(scan Scan) (s RequestSend, err error) {
		var address string
		if err = scan(&s.Env, &s.Request, &address); err != nil {
			return s, err
		}
		s.Message, s.Err = tx.Unseal(sendCell(s.Env, s.Request), address)
		return s, nil
	}, "SELECT env, request, address FROM request_sends WHERE env = $1 AND request = $2", env, request)
}

// maxRequestSends bounds one look.
const maxRequestSends = 20

// ClaimRequestSends returns messages that are due, of every environment, and counts a try
// of each: nobody else gets them before next. One that does not open is among them with its
// Err: it is the caller's to set aside, and holds up none of the others.
func (tx *Tx) ClaimRequestSends(ctx context.Context, next time.Time) ([]RequestSend, error) {
	all, err := All(ctx, tx, func(scan Scan) (s RequestSend, err error) {
		var address string
		var tries int64
		if err = scan(&s.Env, &s.Request, &address, &tries); err != nil {
			return s, err
		}
		s.Tries = int(tries) + 1
		s.Message, s.Err = tx.Unseal(sendCell(s.Env, s.Request), address)
		return s, nil
	}, `SELECT env, request, address, tries FROM request_sends WHERE next_at <= $1 ORDER BY next_at LIMIT $2`, Millis(tx.Now()), maxRequestSends)
	for _, s := range all {
		if err == nil {
			err = tx.Swap(ctx, "UPDATE request_sends SET tries = $3, next_at = $4 WHERE env = $1 AND request = $2", s.Env, s.Request, s.Tries, Millis(next))
		}
	}
	return all, err
}

// DropRequestSend forgets a message that was taken or given up.
func (tx *Tx) DropRequestSend(ctx context.Context, env, request string) error {
	_, err := tx.Exec(ctx, "DELETE FROM request_sends WHERE env = $1 AND request = $2", env, request)
	return err
}
