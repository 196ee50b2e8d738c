package store

import (
	"context"
	"errors"
	"fmt"
)

// rotateBatch is how many cells one transaction seals anew, so that others wait for
// milliseconds only.
const rotateBatch = 200

// Rotate makes key the master key and seals every sealed cell anew under it, while
// nodes run: each of them learns the new key from the store, sealed under the one that
// it has. Called again after an interruption it goes on. When it returns nil, every node
// must be configured with the new key before it is started again, and the old key opens
// nothing any more.
func (s *Store) Rotate(ctx context.Context, key []byte) error {
	k, err := newMasterKey(key)
	if err != nil {
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

// sealAnew goes through the table of sealed columns until a whole round finds nothing.
func (s *Store) sealAnew(ctx context.Context, k masterKey) error {
	for {
		found := 0
		for _, col := range sealedColumns {
			n, err := s.sealColumnAnew(ctx, k, col)
			if err != nil {
				return fmt.Errorf("store: seal %s.%s anew: %w", col.table, col.column, err)
			}
			found += n
		}
		if found == 0 {
			return nil
		}
	}
}

// sealedValue is one cell's content on its way to another key.
type sealedValue struct{ env, row, text string }

func (s *Store) sealColumnAnew(ctx context.Context, k masterKey, col sealedColumn) (int, error) {
	total := 0
	for {
		n, err := Change(ctx, s, func(tx *Tx) (int, error) { return tx.sealBatchAnew(ctx, k, col) })
		total += n
		if err != nil || n < rotateBatch {
			return total, err
		}
	}
}

func (tx *Tx) sealBatchAnew(ctx context.Context, k masterKey, col sealedColumn) (int, error) {
	cells, err := All(ctx, tx, func(scan Scan) (v sealedValue, err error) {
		err = scan(&v.env, &v.row, &v.text)
		return v, err
	}, fmt.Sprintf("SELECT %s, %s, %s FROM %s WHERE %s <> '' AND %s NOT LIKE $1 LIMIT %d",
		col.env, col.row, col.column, col.table, col.column, col.column, rotateBatch), k.id+".%")
	if err != nil {
		return 0, err
	}
	update := fmt.Sprintf("UPDATE %s SET %s = $1 WHERE %s = $2 AND %s = $3", col.table, col.column, col.row, col.column)
	for _, v := range cells {
		cell := Cell{Env: v.env, Table: col.table, Column: col.column, Row: v.row}
		plain, err := tx.s.Unseal(cell, v.text)
		if err != nil {
			return 0, err
		}
		if _, err := tx.Exec(ctx, update, k.seal(cell, plain), v.row, v.text); err != nil {
			return 0, err
		}
	}
	return len(cells), nil
}
