package store

import (
	"fmt"
	"testing"
	"time"
)

// FastKeys makes the nodes look more often whether the master key was changed.
func FastKeys(c Config) Config {
	c.keyRefresh = 50 * time.Millisecond
	return c
}

// AnnounceOnly is a rotation that is interrupted right after it began.
func AnnounceOnly(t *testing.T, s *Store, raw []byte) error {
	k, err := newMasterKey(raw)
	if err != nil {
		return err
	}
	return s.Tx(t.Context(), func(tx *Tx) error { return tx.announceKey(t.Context(), k) })
}

// SealedUnder counts the cells that are sealed under a key.
func SealedUnder(t *testing.T, s *Store, raw []byte) (n int) {
	t.Helper()
	k, err := newMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, col := range sealedColumns {
		m := 0
		err := s.Read(t.Context(), func(tx *Tx) error {
			return tx.Row(t.Context(), []any{&m}, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s LIKE $1", col.table, col.column), k.id+".%")
		})
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	return n
}
