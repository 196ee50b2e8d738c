package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/postern-id/postern/hub/store"
)

// tileHeight makes tiles of 32 hashes: some 1.4 KiB as text, which neither database
// moves out of its row, and four of them prove a leaf among a million.
const tileHeight = 5

// tiles reads the hashes of the tree within one transaction. It is a tlog.HashReader.
type tiles struct {
	ctx    context.Context // of the transaction: tlog's readers take none
	tx     *store.Tx
	loaded map[string][]byte
	fresh  map[int64]tlog.Hash // not stored yet, by their index
}

func newTiles(ctx context.Context, tx *store.Tx) *tiles {
	return &tiles{ctx: ctx, tx: tx, loaded: map[string][]byte{}, fresh: map[int64]tlog.Hash{}}
}

// tileID names a tile in the store. Its width is in its bytes.
func tileID(t tlog.Tile) string { return fmt.Sprintf("%d/%d", t.L, t.N) }

// ReadHashes is of tlog.HashReader.
func (t *tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if err := t.load(indexes); err != nil {
		return nil, err
	}
	all := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if h, ok := t.fresh[n]; ok {
			all[i] = h
			continue
		}
		tile := tlog.TileForIndex(tileHeight, n)
		h, err := tlog.HashFromTile(tile, t.loaded[tileID(tile)], n)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		all[i] = h
	}
	return all, nil
}

// load reads the tiles of stored hashes that were not read before.
func (t *tiles) load(indexes []int64) error {
	var missing []string
	for _, n := range indexes {
		if _, ok := t.fresh[n]; ok {
			continue
		}
		id := tileID(tlog.TileForIndex(tileHeight, n))
		if _, ok := t.loaded[id]; !ok {
			missing = append(missing, id)
			t.loaded[id] = nil
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := t.tx.AuditTiles(t.ctx, missing)
	for id, b := range found {
		t.loaded[id] = b
	}
	return err
}

// add computes the hashes that leaf n brings.
func (t *tiles) add(n int64, leaf []byte) error {
	hashes, err := tlog.StoredHashes(n, leaf, t)
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		t.fresh[first+int64(i)] = h
	}
	return err
}

// changed returns the tiles that a log which grew has more of.
func (t *tiles) changed(was, now int64) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, tile := range tlog.NewTiles(tileHeight, was, now) {
		b, err := tlog.ReadTileData(tile, t)
		if err != nil {
			return nil, err
		}
		all[tileID(tile)] = b
	}
	return all, nil
}
