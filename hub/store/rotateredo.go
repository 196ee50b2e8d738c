package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// ErrRedoLeft says that the master key cannot change now: nothing would open what the redo
// files hold.
var ErrRedoLeft = errors.New("store: a hub that ended in the middle left sign-ins beside the database, sealed under the former master key: start the hub once with that key and end it, then change the key")

// nothingLeft returns ErrRedoLeft where redo files hold what a process that died has not
// written to the database. A process that has them writes it itself.
func (s *Store) nothingLeft(ctx context.Context) error {
	d, ok := s.db.(*sqliteDB)
	if !ok || d.redo.Load() != nil {
		return nil
	}
	left, err := d.isLeft(ctx)
	if err != nil {
		return fmt.Errorf("store: the redo files of sign-ins: %w", err)
	}
	if left {
		return ErrRedoLeft
	}
	return nil
}

// isLeft takes the files only where they are, and makes none, which would belong to whoever
// runs the tool.
func (d *sqliteDB) isLeft(ctx context.Context) (bool, error) {
	path := filepath.Join(d.dir, redoNames[0])
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock, err := lockFile(path)
	if errors.Is(err, errLocked) || errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	seed, last, err := d.knownRedo(ctx)
	if err != nil || seed == nil {
		return false, err
	}
	for _, name := range redoNames {
		if left, err := isLeftIn(filepath.Join(d.dir, name), *seed, last); left || err != nil {
			return left, err
		}
	}
	return false, nil
}

// knownRedo reads what redo files go by; no seed where nobody has served yet.
func (d *sqliteDB) knownRedo(ctx context.Context) (seed *uint32, last int64, err error) {
	var texts [2]string
	err = d.read(ctx, func(q querier) (err error) {
		for i, name := range []string{redoSeed, redoPassed} {
			if texts[i], err = (&Tx{q: q}).Setting(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	n, seedErr := strconv.ParseUint(texts[0], 10, 32)
	last, lastErr := strconv.ParseInt(texts[1], 10, 64)
	of := uint32(n)
	return &of, last, errors.Join(err, seedErr, lastErr)
}

// isLeftIn reports whether a file holds records of a generation after the last one that is
// in the database.
func isLeftIn(path string, seed uint32, last int64) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, generation, err := readRedo(f, seed)
	return generation > last, err
}
