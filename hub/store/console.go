package store

import (
	"context"
	"time"
)

// Lives of the console's sign-in.
const (
	consoleLink    = 24 * time.Hour // printed by init and demo
	consoleSession = 12 * time.Hour // one working day
)

// CreateConsoleLink writes a one-time sign-in link for administrators of an
// organisation; hash is HashToken of its secret.
func (tx *Tx) CreateConsoleLink(ctx context.Context, org, hash string) error {
	now := tx.Now()
	_, err := tx.Exec(ctx, "INSERT INTO console_links (hash, org, created_at, expires_at) VALUES ($1, $2, $3, $4)",
		hash, org, Millis(now), Millis(now.Add(consoleLink)))
	return err
}

// RedeemConsoleLink uses a link up and opens a session, whose cookie has the hash
// session. It returns the organisation. An unknown, expired or used link is ErrNotFound.
func (tx *Tx) RedeemConsoleLink(ctx context.Context, hash, session string) (org string, err error) {
	now := tx.Now()
	err = tx.Must(ctx, "UPDATE console_links SET used_at = $2 WHERE hash = $1 AND used_at = 0 AND expires_at > $2", hash, Millis(now))
	if err != nil {
		return "", err
	}
	org, err = One(ctx, tx, Text, "SELECT org FROM console_links WHERE hash = $1", hash)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, "INSERT INTO console_sessions (hash, org, created_at, expires_at) VALUES ($1, $2, $3, $4)",
		session, org, Millis(now), Millis(now.Add(consoleSession)))
	return org, err
}

// ConsoleSession returns the organisation whose administrator has the session cookie
// with this hash; ErrNotFound if it is unknown or has expired.
func (tx *Tx) ConsoleSession(ctx context.Context, hash string) (org string, err error) {
	return One(ctx, tx, Text, "SELECT org FROM console_sessions WHERE hash = $1 AND expires_at > $2", hash, Millis(tx.Now()))
}

// EndConsoleSession signs out.
func (tx *Tx) EndConsoleSession(ctx context.Context, hash string) error {
	_, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE hash = $1", hash)
	return err
}

// PurgeConsole removes links and sessions that have expired.
func (tx *Tx) PurgeConsole(ctx context.Context) error {
	now := Millis(tx.Now())
	if _, err := tx.Exec(ctx, "DELETE FROM console_links WHERE expires_at < $1", now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE expires_at < $1", now)
	return err
}
