package store

import (
	"context"
	"fmt"
	"time"
)

// Lives of the console's sign-in.
const (
	consoleLink    = 24 * time.Hour   // printed by init and demo
	consoleSession = 24 * time.Hour   // NIST SP 800-63B-4, section 2.2.3: a day at most at AAL2
	consoleIdle    = time.Hour        // the same: an hour without anybody there
	consoleSeen    = 30 * time.Second // how exactly it is known when somebody was there: no write for each page
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
	SeenAt    time.Time // when somebody was last there
}

const sessionColumns = "id, org, staff, device, created_at, expires_at, CASE WHEN seen_at > created_at THEN seen_at ELSE created_at END AS seen"

func scanSession(scan Scan) (s ConsoleSession, err error) {
	var created, expires, seen int64
	err = scan(&s.ID, &s.Org, &s.Staff, &s.Device, &created, &expires, &seen)
	s.CreatedAt, s.ExpiresAt, s.SeenAt = Time(created), Time(expires), Time(seen)
	return s, err
}

// alive is the condition of a session that has not ended: not too old, and somebody was
// there not long ago. Its parameters are now and the time of the idle limit.
func (tx *Tx) alive(query string, n int, args ...any) (string, []any) {
	return query + fmt.Sprintf(" AND expires_at > $%d AND (seen_at > $%d OR created_at > $%[2]d)", n, n+1),
		append(args, Millis(tx.Now()), Millis(tx.Now().Add(-consoleIdle)))
}

// ConsoleSession returns who has the session cookie with this hash; ErrNotFound if it is
// unknown or has expired.
func (tx *Tx) ConsoleSession(ctx context.Context, hash string) (ConsoleSession, error) {
	query, args := tx.alive("SELECT "+sessionColumns+" FROM console_sessions WHERE hash = $1", 2, hash)
	return One(ctx, tx, scanSession, query, args...)
}

// Stale reports whether it is time to write down that somebody is there.
func (s ConsoleSession) Stale(now time.Time) bool { return s.SeenAt.Before(now.Add(-consoleSeen)) }

// ConsoleSessionSeen writes down that somebody is there. One that has ended stays so.
func (tx *Tx) ConsoleSessionSeen(ctx context.Context, hash string) error {
	query, args := tx.alive("UPDATE console_sessions SET seen_at = $2 WHERE hash = $1", 3, hash, Millis(tx.Now()))
	return tx.Must(ctx, query, args...)
}

// ConsoleSessions lists who is signed in, the newest first.
func (tx *Tx) ConsoleSessions(ctx context.Context, org string) ([]ConsoleSession, error) {
	query, args := tx.alive("SELECT "+sessionColumns+" FROM console_sessions WHERE org = $1", 2, org)
	return All(ctx, tx, scanSession, query+fmt.Sprintf(" ORDER BY created_at DESC, id LIMIT %d", maxStaff), args...)
}

// SessionByID returns a session of an organisation that has not expired.
func (tx *Tx) SessionByID(ctx context.Context, org, id string) (ConsoleSession, error) {
	query, args := tx.alive("SELECT "+sessionColumns+" FROM console_sessions WHERE org = $1 AND id = $2 AND id <> ''", 3, org, id)
	return One(ctx, tx, scanSession, query, args...)
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
	if _, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE expires_at < $1 OR seen_at < $2 AND created_at < $2", now, Millis(tx.Now().Add(-consoleIdle))); err != nil {
		return err
	}
	return tx.purgeStaff(ctx)
}
