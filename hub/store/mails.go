package store

import (
	"context"
	"time"
)

// A Mail waits for a mail server to take it.
type Mail struct {
	ID        string
	Env       string
	Body      []byte // recipient and text, as package notify encodes them; sealed in the store
	Err       error  // why Body does not open; ErrMasterKey: this node lacks its key. Nil: it does
	Tries     int
	CreatedAt time.Time
	ExpiresAt time.Time // not sent after this

	version int64
}

func mailCell(env, id string) Cell { return Cell{Env: env, Table: "mails", Column: "body", Row: id} }

// AddMail queues a mail, to be sent at once.
func (tx *Tx) AddMail(ctx context.Context, env string, body []byte, expires time.Time) error {
	id := NewID()
	sealed, err := tx.Seal(mailCell(env, id), body)
	if err != nil {
		return err
	}
	now := Millis(tx.Now())
	_, err = tx.Exec(ctx, `INSERT INTO mails (id, env, body, next_at, created_at, expires_at) VALUES ($1, $2, $3, $4, $4, $5)`,
		id, env, sealed, now, Millis(expires))
	return err
}

// ClaimMails takes at most n mails that are due for this node until then. Other nodes
// leave them alone until the claim lapses. One that does not open is among them with its
// Err: it is the caller's to set aside, and holds up none of the others.
func (tx *Tx) ClaimMails(ctx context.Context, n int, until time.Time) ([]Mail, error) {
	due, err := All(ctx, tx, tx.scanMail, `SELECT id, env, body, tries, created_at, expires_at, version FROM mails
		WHERE next_at <= $1 AND claimed_until <= $1 ORDER BY next_at, id LIMIT $2`, Millis(tx.Now()), n)
	if err != nil {
		return nil, err
	}
	for i := range due {
		m := &due[i]
		err := tx.Swap(ctx, `UPDATE mails SET claimed_until = $3, version = version + 1 WHERE id = $1 AND version = $2`,
			m.ID, m.version, Millis(until))
		if err != nil {
			return nil, err
		}
		m.version++
	}
	return due, nil
}

func (tx *Tx) scanMail(scan Scan) (Mail, error) {
	var m Mail
	var sealed string
	var created, expires int64
	if err := scan(&m.ID, &m.Env, &sealed, &m.Tries, &created, &expires, &m.version); err != nil {
		return m, err
	}
	m.CreatedAt, m.ExpiresAt = Time(created), Time(expires)
	m.Body, m.Err = tx.Unseal(mailCell(m.Env, m.ID), sealed)
	return m, nil
}

// MailSent deletes a claimed mail; ErrConflict if the claim lapsed and another node
// took it.
func (tx *Tx) MailSent(ctx context.Context, m Mail) error {
	return tx.Swap(ctx, `DELETE FROM mails WHERE id = $1 AND version = $2`, m.ID, m.version)
}

// MailFailed gives a claimed mail back, to be tried again then; ErrConflict like MailSent.
func (tx *Tx) MailFailed(ctx context.Context, m Mail, next time.Time) error {
	return tx.Swap(ctx, `UPDATE mails SET tries = tries + 1, next_at = $3, claimed_until = 0, version = version + 1 WHERE id = $1 AND version = $2`,
		m.ID, m.version, Millis(next))
}

// WaitingMails counts the mails that no mail server has taken yet.
func (tx *Tx) WaitingMails(ctx context.Context, env string) (n int, err error) {
	err = tx.Row(ctx, []any{&n}, `SELECT COUNT(*) FROM mails WHERE env = $1`, env)
	return n, err
}
