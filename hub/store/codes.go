package store

import (
	"context"
	"time"
)

// A Code is the open challenge of a verification.
type Code struct {
	Challenge string // what a verifier compares an answer with; never the answer
	Genuine   bool   // an answer can be right
	Ask       string // JSON that the page is given; "" none
	Case      string // the row that other people decide about; "" none
	Tries     int
	SentAt    time.Time
}

// Code returns the open challenge.
func (tx *Tx) Code(ctx context.Context, env, verification string) (Code, error) {
	return One(ctx, tx, scanCode, `SELECT challenge, genuine, ask, case_id, tries, sent_at FROM codes WHERE env = $1 AND verification = $2`, env, verification)
}

func scanCode(scan Scan) (c Code, err error) {
	var genuine, tries, sent int64
	err = scan(&c.Challenge, &genuine, &c.Ask, &c.Case, &tries, &sent)
	c.Genuine, c.Tries, c.SentAt = genuine != 0, int(tries), Time(sent)
	return c, err
}

// OpenCode puts a challenge that no answer meets in place of any other one and allows
// new tries.
func (tx *Tx) OpenCode(ctx context.Context, env, verification, challenge string) error {
	_, err := tx.Exec(ctx, `INSERT INTO codes (env, verification, challenge, tries, sent_at) VALUES ($1, $2, $3, 0, $4)
		ON CONFLICT (env, verification) DO UPDATE SET challenge = excluded.challenge, genuine = 0, ask = '', case_id = '', tries = 0, sent_at = excluded.sent_at`,
		env, verification, challenge, Millis(tx.Now()))
	return err
}

// SetChallenge changes what answers are compared with and what the page is given, and
// neither tries nor time: somebody who watches them must not see that a code was really
// made.
func (tx *Tx) SetChallenge(ctx context.Context, env, verification string, c Code) error {
	return tx.Must(ctx, `UPDATE codes SET challenge = $3, genuine = $4, ask = $5, case_id = $6 WHERE env = $1 AND verification = $2`,
		env, verification, c.Challenge, Flag(c.Genuine), c.Ask, c.Case)
}

// TryCode counts one try and returns the challenge; ErrConflict after the limit.
func (tx *Tx) TryCode(ctx context.Context, env, verification string, limit int) (Code, error) {
	err := tx.Swap(ctx, `UPDATE codes SET tries = tries + 1 WHERE env = $1 AND verification = $2 AND tries < $3`, env, verification, limit)
	if err != nil {
		return Code{}, err
	}
	return tx.Code(ctx, env, verification)
}

// CloseCode deletes the challenge.
func (tx *Tx) CloseCode(ctx context.Context, env, verification string) error {
	_, err := tx.Exec(ctx, `DELETE FROM codes WHERE env = $1 AND verification = $2`, env, verification)
	return err
}

// AddCodeSend counts a code that was sent to a subject.
func (tx *Tx) AddCodeSend(ctx context.Context, env, subject string) error {
	_, err := tx.Exec(ctx, `INSERT INTO code_sends (env, subject, sent_at) VALUES ($1, $2, $3)`, env, subject, Millis(tx.Now()))
	return err
}

// CodeSends returns how many codes were sent to a subject since then, and when the
// first of them was.
func (tx *Tx) CodeSends(ctx context.Context, env, subject string, since time.Time) (n int, first time.Time, err error) {
	var count, at int64
	err = tx.Row(ctx, []any{&count, &at}, `SELECT COUNT(*), COALESCE(MIN(sent_at), 0) FROM code_sends
		WHERE env = $1 AND subject = $2 AND sent_at > $3`, env, subject, Millis(since))
	return int(count), Time(at), err
}

// ForgetCodeSends gives a subject back all its sends.
func (tx *Tx) ForgetCodeSends(ctx context.Context, env, subject string) error {
	_, err := tx.Exec(ctx, `DELETE FROM code_sends WHERE env = $1 AND subject = $2`, env, subject)
	return err
}

// PurgeCodeSends deletes what no limit counts any more.
func (tx *Tx) PurgeCodeSends(ctx context.Context, before time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM code_sends WHERE sent_at < $1`, Millis(before))
	return err
}
