package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rotateBatch is how many cells one transaction seals anew, so that others wait for
// milliseconds only.
const rotateBatch = 200

// Rotate makes key the master key and seals every sealed cell anew under it, while
// nodes run: each of them learns the new key from the store, sealed under the one that
// it has. Called again after an interruption it goes on. When it returns nil, every node
// must be configured with the new key before it is started again, and the old key opens
// nothing any more. What does not open holds nothing else up: everything besides is sealed
// anew, the error names each such cell (Unreadable), and until it is gone and Rotate is
// called again both keys open the store. ErrRedoLeft says that nothing was begun, or that it
// is to be done again.
func (s *Store) Rotate(ctx context.Context, key []byte) error {
	k, err := newMasterKey(key)
	if err != nil {
		return err
	}
	if err := s.nothingLeft(ctx); err != nil {
		return err
	}
	if err := s.Tx(ctx, func(tx *Tx) error { return tx.announceKey(ctx, k) }); err != nil {
		return fmt.Errorf("store: announce the new master key: %w", err)
	}
	if err := s.loadKeys(ctx); err != nil {
		return err
	}
	// Until every node has looked, one of them may still seal under the old key.
	if err := wait(ctx, 2*s.keyRefresh); err != nil {
		return err
	}
	if err := s.nothingLeft(ctx); err != nil { // by one that ended before it has looked
		return err
	}
	if err := s.sealAnew(ctx, k); err != nil {
		return err
	}
	_, err = Change(ctx, s, func(tx *Tx) (int64, error) {
		return tx.Exec(ctx, "DELETE FROM master_key_wraps WHERE id = $1", k.id)
	})
	return err
}

// announceKey makes k active and seals it under the old key and the old one under it.
func (tx *Tx) announceKey(ctx context.Context, k masterKey) error {
	old := tx.s.activeKey()
	if old.id == k.id {
		return nil
	}
	if _, err := tx.Exec(ctx, "DELETE FROM master_keys WHERE id = $1", k.id); err != nil { // used before
		return err
	}
	if err := tx.Must(ctx, "UPDATE master_keys SET active = 0 WHERE id = $1 AND active = 1", old.id); err != nil {
		return err
	}
	if err := tx.insertMasterKey(ctx, k); err != nil {
		return err
	}
	return errors.Join(tx.insertWrap(ctx, k, old), tx.insertWrap(ctx, old, k))
}

func (tx *Tx) insertWrap(ctx context.Context, k, by masterKey) error {
	_, err := tx.Exec(ctx, `INSERT INTO master_key_wraps (id, wrapped_by, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (id, wrapped_by) DO UPDATE SET sealed = excluded.sealed`,
		k.id, by.id, by.seal(wrapCell(k.id, by.id), k.raw))
	return err
}

// An Unreadable is the error of a cell that does not open: it was damaged, or sealed under a
// key that this store does not have.
type Unreadable struct {
	Cell
	Err error
}

// Error implements error.
func (u *Unreadable) Error() string {
	text := fmt.Sprintf("%s.%s of the row %q", u.Table, u.Column, u.Row)
	if u.Env != "" {
		text += " of the environment " + u.Env
	}
	return text + " does not open: " + u.Err.Error()
}

// Unwrap returns why.
func (u *Unreadable) Unwrap() error { return u.Err }

// maxUnreadable is how many cells that do not open are passed by, each of which is read
// again with every batch: with more of them it is not cells that are wrong.
const maxUnreadable = 200

// sealedValue is one cell's content on its way to another key.
type sealedValue struct{ env, row, text string }

// unread are cells of one column that do not open.
type unread map[sealedValue]*Unreadable

var errUnreadable = errors.New("store: too many cells do not open; nothing further was sealed anew")

// sealAnew goes through the table of sealed columns until a whole round finds nothing but
// what does not open.
func (s *Store) sealAnew(ctx context.Context, k masterKey) error {
	wrong := map[sealedColumn]unread{}
	for found := 1; found > 0; {
		found = 0
		for _, col := range sealedColumns {
			if wrong[col] == nil {
				wrong[col] = unread{}
			}
			n, err := s.sealColumnAnew(ctx, k, col, wrong[col])
			if err != nil {
				return fmt.Errorf("store: seal %s.%s anew: %w", col.table, col.column, err)
			}
			found += n
		}
	}
	return leftOver(wrong)
}

// leftOver is the error that names the cells that were not sealed anew, each in a line.
func leftOver(wrong map[sealedColumn]unread) error {
	var lines []string
	var all []error
	for _, col := range wrong {
		for _, u := range col {
			lines, all = append(lines, u.Error()), append(all, u)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(lines)
	return &leftovers{"store: every cell but these is sealed anew; both keys open the store until they are gone and it is done again:\n" + strings.Join(lines, "\n"), all}
}

// leftovers are errors with one text.
type leftovers struct {
	text string
	all  []error
}

// Error implements error.
func (l *leftovers) Error() string { return l.text }

// Unwrap returns each of them.
func (l *leftovers) Unwrap() []error { return l.all }

// sealColumnAnew seals the cells of a column anew and returns how many. It adds to wrong
// those that do not open.
func (s *Store) sealColumnAnew(ctx context.Context, k masterKey, col sealedColumn, wrong unread) (int, error) {
	total := 0
	for {
		b, err := Change(ctx, s, func(tx *Tx) (sealedBatch, error) { return tx.sealBatchAnew(ctx, k, col, wrong) })
		if err != nil {
			return total, err
		}
		for v, u := range b.unread {
			s.log.ErrorContext(ctx, "a sealed cell does not open; the key changes around it", "error", u)
			wrong[v] = u
		}
		total += b.sealed
		switch {
		case len(wrong) > maxUnreadable:
			return total, errors.Join(errUnreadable, leftOver(map[sealedColumn]unread{col: wrong}))
		case b.sealed+len(b.unread) < rotateBatch:
			return total, nil
		}
	}
}

// sealedBatch is what came of one batch.
type sealedBatch struct {
	sealed int
	unread unread
}

// sealBatchAnew seals a batch of cells anew, apart from those that are known not to open.
func (tx *Tx) sealBatchAnew(ctx context.Context, k masterKey, col sealedColumn, wrong unread) (b sealedBatch, err error) {
	cells, err := All(ctx, tx, func(scan Scan) (v sealedValue, err error) {
		err = scan(&v.env, &v.row, &v.text)
		return v, err
	}, fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s <> '' AND %s NOT LIKE $1 LIMIT %d",
		col.env, col.row, col.column, col.table, col.column, col.column, rotateBatch+len(wrong)), k.id+".%")
	if err != nil {
		return b, err
	}
	b.unread = unread{}
	for _, v := range cells {
		if wrong[v] != nil {
			continue
		}
		err := tx.sealCellAnew(ctx, k, col, v)
		if u := (*Unreadable)(nil); errors.As(err, &u) {
			b.unread[v] = u
			continue
		}
		if err != nil {
			return b, err
		}
		b.sealed++
	}
	return b, nil
}

// sealCellAnew seals one cell anew; Unreadable where it does not open.
func (tx *Tx) sealCellAnew(ctx context.Context, k masterKey, col sealedColumn, v sealedValue) error {
	cell := Cell{Env: v.env, Table: col.table, Column: col.column, Row: v.row}
	plain, err := tx.s.Unseal(cell, v.text)
	if err != nil {
		return &Unreadable{cell, err}
	}
	_, err = tx.Exec(ctx, fmt.Sprintf("UPDATE %s SET %s = $1 WHERE %s = $2 AND %s = $3", col.table, col.column, col.row, col.column), k.seal(cell, plain), v.row, v.text)
	return err
}
