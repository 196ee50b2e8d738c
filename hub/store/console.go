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
	return org, tx.OpenStaffSession(ctx, org, "", session, "")
}

// A ConsoleSession is somebody who is signed in.
type ConsoleSession struct {
	ID, Org   string
	Staff     string // id of the person; "" for the link that init printed
	Device    string // User-Agent
	CreatedAt time.Time
	ExpiresAt time.Time
}

const sessionColumns = "id, org, staff, device, created_at, expires_at"

func scanSession(scan Scan) (s ConsoleSession, err error) {
	var created, expires int64
	err = scan(&s.ID, &s.Org, &s.Staff, &s.Device, &created, &expires)
	s.CreatedAt, s.ExpiresAt = Time(created), Time(expires)
	return s, err
}

// ConsoleSession returns who has the session cookie with this hash; ErrNotFound if it is
// unknown or has expired.
func (tx *Tx) ConsoleSession(ctx context.Context, hash string) (ConsoleSession, error) {
	return One(ctx, tx, scanSession, "SELECT "+sessionColumns+" FROM console_sessions WHERE hash = $1 AND expires_at > $2", hash, Millis(tx.Now()))
}

// ConsoleSessions lists who is signed in, the newest first.
func (tx *Tx) ConsoleSessions(ctx context.Context, org string) ([]ConsoleSession, error) {
	return All(ctx, tx, scanSession, "SELECT "+sessionColumns+" FROM console_sessions WHERE org = $1 AND expires_at > $2 ORDER BY created_at DESC, id LIMIT $3",
		org, Millis(tx.Now()), maxStaff)
}

// EndSession ends a session by its id.
func (tx *Tx) EndSession(ctx context.Context, org, id string) error {
	return tx.Must(ctx, "DELETE FROM console_sessions WHERE org = $1 AND id = $2 AND id <> ''", org, id)
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
	if _, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE expires_at < $1", now); err != nil {
		return err
	}
	return tx.purgeStaff(ctx)
}
