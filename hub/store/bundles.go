package store

import (
	"context"
	"time"
)

// A Bundle is what the recovery pages of an environment are made of: the hash of the
// list of their files in hexadecimal, and when a hub was first started with it.
type Bundle struct {
	Hash  string
	Since time.Time
}

// Bundle returns what was recorded last. ErrNotFound: nothing was.
func (tx *Tx) Bundle(ctx context.Context, env string) (Bundle, error) {
	return One(ctx, tx, func(scan Scan) (b Bundle, err error) {
		var since int64
		err = scan(&b.Hash, &since)
		b.Since = Time(since)
		return b, err
	}, "SELECT hash, since FROM page_bundles WHERE env = $1", env)
}

// RecordBundle records the hash unless it is the one that was recorded last, and reports
// whether it did. Of several that record the same one, one does.
func (tx *Tx) RecordBundle(ctx context.Context, env, hash string) (changed bool, err error) {
	n, err := tx.Exec(ctx, `INSERT INTO page_bundles (env, hash, since) VALUES ($1, $2, $3)
		ON CONFLICT (env) DO UPDATE SET hash = excluded.hash, since = excluded.since WHERE page_bundles.hash <> excluded.hash`, env, hash, Millis(tx.Now()))
	return n == 1, err
}
