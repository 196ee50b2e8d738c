package store

import (
	"context"
	"time"
)

// A Terminal is a command line that somebody of the staff signed in.
type Terminal struct {
	Key     string // of the terminal, public
	Org     string
	Staff   string
	Sealed  string // API key, sealed to Key; base64
	Expires time.Time
}

// AddTerminal leaves what a terminal will fetch. ErrConflict if it was signed in before.
func (tx *Tx) AddTerminal(ctx context.Context, t Terminal) error {
	n, err := tx.Exec(ctx, `INSERT INTO terminals (key, org, staff, sealed, expires_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (key) DO NOTHING`,
		t.Key, t.Org, t.Staff, t.Sealed, Millis(t.Expires))
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}

// Terminal returns what was left for a key; ErrNotFound if nothing was, or too long ago.
func (tx *Tx) Terminal(ctx context.Context, key string) (Terminal, error) {
	return One(ctx, tx, func(scan Scan) (t Terminal, err error) {
		var expires int64
		err = scan(&t.Key, &t.Org, &t.Staff, &t.Sealed, &expires)
		t.Expires = Time(expires)
		return t, err
	}, "SELECT key, org, staff, sealed, expires_at FROM terminals WHERE key = $1 AND expires_at > $2", key, Millis(tx.Now()))
}

// keepTerminals is how long a key is remembered, so that no terminal is approved twice.
const keepTerminals = 24 * time.Hour

func (tx *Tx) purgeTerminals(ctx context.Context) error {
	_, err := tx.Exec(ctx, "DELETE FROM terminals WHERE expires_at < $1", Millis(tx.Now().Add(-keepTerminals)))
	return err
}
