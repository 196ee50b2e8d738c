package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// AccountDigest is a short hash of everything that a directory said of an account.
// Equal digests mean that nothing has to be written.
func AccountDigest(a protocol.Account) string {
	a.UpdatedAt = time.Time{} // changes with each sign-in in some directories, and nothing is made of it
	h := sha256.Sum256([]byte(JSON(a)))
	return base64.RawStdEncoding.EncodeToString(h[:16])
}

// A KnownAccount is what a pass compares with.
type KnownAccount struct {
	ImmutableID, Digest string
	Swept               bool
}

// KnownAccounts yields every account of a directory, swept ones included.
func (tx *Tx) KnownAccounts(ctx context.Context, env, directory string, yield func(KnownAccount)) error {
	_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
		var k KnownAccount
		if err = scan(&k.ImmutableID, &k.Digest, &k.Swept); err == nil {
			yield(k)
		}
		return none, err
	}, "SELECT immutable_id, digest, CASE swept_at WHEN 0 THEN 0 ELSE 1 END FROM accounts WHERE env = $1 AND directory = $2", env, directory)
	return err
}

// PutAccounts writes accounts that are new or differ from what is stored; a swept one
// comes back. A row keeps its id. No immutable id may be there twice. The caller bounds
// the batch, so that others wait for milliseconds only.
func (tx *Tx) PutAccounts(ctx context.Context, env, directory string, generation int64, batch []protocol.Account) error {
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return err
	}
	rows, err := tx.putAccountRows(ctx, env, directory, generation, batch)
	if err != nil {
		return err
	}
	var old, identifiers, memberships [][]any
	for i, a := range batch {
		if !rows[i].fresh {
			old = append(old, []any{rows[i].id})
		}
		for _, text := range distinct(a.Identifiers, NormalIdentifier) {
			identifiers = append(identifiers, []any{env, text, rows[i].id})
		}
		for _, g := range distinct(a.Groups, func(g protocol.Group) string { return g.ID }) {
			memberships = append(memberships, []any{rows[i].id, g})
		}
	}
	for _, step := range []bulk{
		{"DELETE FROM account_identifiers WHERE account IN (", ")", old},
		{"INSERT INTO account_identifiers (env, identifier, account) VALUES ", "", identifiers},
		{"DELETE FROM account_groups WHERE account IN (", ")", old},
		{"INSERT INTO account_groups (account, grp) VALUES ", "", memberships},
	} {
		if err := tx.bulk(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// distinct returns the keys of values, each once and none empty.
func distinct[T any](values []T, key func(T) string) []string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		if k := key(v); k != "" && !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

// writtenRow is a row of accounts that was written.
type writtenRow struct {
	id    string
	fresh bool // it was not there before
}

// putAccountRows upserts the rows and returns them in the order of the batch.
func (tx *Tx) putAccountRows(ctx context.Context, env, directory string, generation int64, batch []protocol.Account) ([]writtenRow, error) {
	now := Millis(tx.Now())
	written := make(map[string]writtenRow, len(batch))
	made := make(map[string]bool, len(batch)) // ids for rows that are not there yet
	for chunk := range chunks(len(batch), tx.s.db.rowsPerInsert()) {
		args := make([]any, 0, (chunk.end-chunk.start)*accountRowWidth)
		for _, a := range batch[chunk.start:chunk.end] {
			id := NewID()
			made[id] = true
			args = append(args, id, env, directory, a.ID, a.Name, JSON(a.Identifiers), a.BirthDate, Flag(a.Disabled), AccountDigest(a), generation, now)
		}
		_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
			var id, key string
			err = scan(&id, &key)
			written[key] = writtenRow{id, made[id]}
			return none, err
		}, upsertAccounts(chunk.end-chunk.start), args...)
		if err != nil {
			return nil, err
		}
	}
	rows := make([]writtenRow, len(batch))
	for i, a := range batch {
		rows[i] = written[a.ID]
	}
	return rows, nil
}

// accountRowWidth is the number of parameters of one row of upsertAccounts.
const accountRowWidth = 11

func upsertAccounts(rows int) string {
	return `INSERT INTO accounts (id, env, directory, immutable_id, name, identifiers, birth_date, disabled, digest, generation, created_at) VALUES ` +
		placeholders(rows, accountRowWidth) + ` ON CONFLICT (directory, immutable_id) DO UPDATE SET name = excluded.name,
		identifiers = excluded.identifiers, birth_date = excluded.birth_date, disabled = excluded.disabled, digest = excluded.digest,
		generation = excluded.generation, swept_at = 0 RETURNING id, immutable_id`
}

// placeholders returns ($1, $2), ($3, $4) … for rows of a width; a width of one without
// brackets, for IN.
func placeholders(rows, width int) string {
	var b strings.Builder
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		for j := range width {
			switch {
			case j > 0:
				b.WriteString(", ")
			case width > 1:
				b.WriteByte('(')
			}
			fmt.Fprintf(&b, "$%d", i*width+j+1)
		}
		if width > 1 {
			b.WriteByte(')')
		}
	}
	return b.String()
}

// bulk is one statement for many rows. Its text is built for as many rows at once as the
// database likes: SQLite is fastest with one, PostgreSQL with hundreds.
type bulk struct {
	before, after string
	rows          [][]any
}

func (tx *Tx) bulk(ctx context.Context, b bulk) error {
	for chunk := range chunks(len(b.rows), tx.s.db.rowsPerInsert()) {
		rows := b.rows[chunk.start:chunk.end]
		var args []any
		for _, r := range rows {
			args = append(args, r...)
		}
		if _, err := tx.Exec(ctx, b.before+placeholders(len(rows), len(rows[0]))+b.after, args...); err != nil {
			return err
		}
	}
	return nil
}

// span is a part of a slice.
type span struct{ start, end int }

func chunks(n, size int) func(yield func(span) bool) {
	return func(yield func(span) bool) {
		for start := 0; start < n; start += size {
			if !yield(span{start, min(start+size, n)}) {
				return
			}
		}
	}
}

// PutGroups writes groups of a directory that are new or have another name or kind.
func (tx *Tx) PutGroups(ctx context.Context, env, directory string, groups []protocol.Group) error {
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return err
	}
	rows := make([][]any, len(groups))
	for i, g := range groups {
		rows[i] = []any{env, directory, g.ID, g.Name, g.Kind}
	}
	return tx.bulk(ctx, bulk{"INSERT INTO directory_groups (env, directory, immutable_id, name, kind) VALUES ",
		" ON CONFLICT (directory, immutable_id) DO UPDATE SET name = excluded.name, kind = excluded.kind", rows})
}

// AllGroups returns the groups of a directory, for a pass to compare with.
func (tx *Tx) AllGroups(ctx context.Context, env, directory string) ([]protocol.Group, error) {
	return All(ctx, tx, scanGroup, "SELECT immutable_id, name, kind FROM directory_groups WHERE env = $1 AND directory = $2", env, directory)
}

// SweepAccounts hides accounts: nothing finds them, nothing is done for them. What is
// bound to them is kept until PurgeAccounts, in case they come back.
func (tx *Tx) SweepAccounts(ctx context.Context, env, directory string, immutableIDs []string) error {
	now := Millis(tx.Now())
	for _, id := range immutableIDs {
		_, err := tx.Exec(ctx, "UPDATE accounts SET swept_at = $4 WHERE env = $1 AND directory = $2 AND immutable_id = $3 AND swept_at = 0",
			env, directory, id, now)
		if err != nil {
			return err
		}
	}
	return nil
}

// sweptKept is how long a swept account's bound data is kept (DESIGN: 30 days).
const sweptKept = 30 * 24 * time.Hour

// PurgeAccounts removes accounts that were swept 30 days ago, a bounded number at once.
// It returns how many.
func (tx *Tx) PurgeAccounts(ctx context.Context) (int64, error) {
	return tx.Exec(ctx, `DELETE FROM accounts WHERE id IN
		(SELECT id FROM accounts WHERE swept_at > 0 AND swept_at < $1 ORDER BY swept_at LIMIT 1000)`, Millis(tx.Now().Add(-sweptKept)))
}

// CountAccounts counts the accounts of a directory, swept ones excluded.
func (tx *Tx) CountAccounts(ctx context.Context, env, directory string) (n int, err error) {
	err = tx.Row(ctx, []any{&n}, "SELECT count(*) FROM accounts WHERE env = $1 AND directory = $2 AND swept_at = 0", env, directory)
	return n, err
}
