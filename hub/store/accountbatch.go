package store

import (
	"context"
	"slices"
	"strings"
)

// An AccountBatch is accounts made ready to be written while others write: the writer of
// a database is one, and turning accounts into rows takes a quarter of the time.
type AccountBatch struct {
	writes []AccountWrite
	rows   accountRows
	fresh  int
	first  int64 // number of the first new row that rows were made with
	bulks  []readyBulk
}

// A readyBulk is a bulk of at most bulkRows rows in the database's form.
type readyBulk struct {
	query string
	args  []any
}

// NextAccount guesses the number of the next new account; 0 where nobody can.
func (tx *Tx) NextAccount(ctx context.Context) (int64, error) {
	numbers, err := tx.s.db.guess(ctx, tx.q)
	return numbers, mapError(err)
}

// PrepareAccounts makes what PutAccounts writes of at most MaxPrepared accounts ready, in
// no transaction. next is the guess of NextAccount, and after it what the last batch
// returned: a wrong one costs time and nothing else.
func (s *Store) PrepareAccounts(env, directory string, generation int64, next int64, writes []AccountWrite) (b *AccountBatch, after int64) {
	b = &AccountBatch{writes: writes, first: next, rows: accountRows{env: env, directory: directory, generation: generation, now: s.Now()}}
	for _, a := range writes {
		if a.Row == 0 {
			b.fresh++
		}
	}
	if next == 0 {
		return b, 0
	}
	b.rows.fill(writes, next)
	b.rows.sort()
	for _, k := range b.rows.bulks(s.db.insertInto()) {
		if len(k.rows) > bulkRows {
			b.first, b.bulks = 0, nil // is made ready when it is written
			break
		}
		ready := readyBulk{}
		if len(k.rows) > 0 {
			source, args := s.db.source(k.rows)
			ready = readyBulk{k.before + source + k.after, args}
		}
		b.bulks = append(b.bulks, ready)
	}
	return b, next + int64(b.fresh)
}

// MaxPrepared is how many accounts of the usual kind a batch can have.
const MaxPrepared = bulkRows / 2

// Len returns how many accounts the batch has.
func (b *AccountBatch) Len() int { return len(b.writes) }

// PutPrepared is PutAccounts for a batch that was prepared.
func (tx *Tx) PutPrepared(ctx context.Context, b *AccountBatch) error {
	r := &b.rows
	if b.bulks == nil {
		return tx.PutAccounts(ctx, r.env, r.directory, r.generation, b.writes)
	}
	if _, err := tx.Directory(ctx, r.env, r.directory); err != nil {
		return err
	}
	next, err := tx.NextAccount(ctx)
	if err != nil {
		return err
	}
	if b.fresh > 0 && next != b.first {
		return tx.PutAccounts(ctx, r.env, r.directory, r.generation, b.writes)
	}
	return tx.putRows(ctx, r, b.fresh, b.bulks)
}

// sort brings identifiers into the order of their index: neighbours stand on one page.
func (r *accountRows) sort() {
	slices.SortFunc(r.identifiers, func(a, b []any) int {
		x, _ := a[0].(string)
		y, _ := b[0].(string)
		return strings.Compare(x, y)
	})
}

// fill makes the rows of accounts, the new ones numbered from next on.
func (r *accountRows) fill(writes []AccountWrite, next int64) {
	for _, a := range writes {
		if a.Row != 0 {
			r.change(a)
			continue
		}
		r.insert(a, next)
		next++
	}
}
