package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WeakDefault says what is true of a key file in the data folder. It is logged by
// whoever uses LoadOrCreateMasterKey.
const WeakDefault = "the master key lies in the data folder, beside what it seals: a copy of the folder opens everything; keep the key elsewhere with master_key file"

// LoadMasterKey reads a master key: 64 hexadecimal digits, or 32 bytes as they are. It
// refuses a file that every user of the machine may read.
func LoadMasterKey(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("store: master key: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("store: every user may read the master key %s: chmod 0600 it", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("store: master key: %w", err)
	}
	if len(b) == MasterKeySize {
		return b, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(key) != MasterKeySize {
		return nil, fmt.Errorf("store: master key %s: want %d hexadecimal digits (openssl rand -hex %d)", file, 2*MasterKeySize, MasterKeySize)
	}
	return key, nil
}

// LoadOrCreateMasterKey reads the master key, or makes one at the first start of a node
// that was given none. The key file is only for its user. See WeakDefault.
func LoadOrCreateMasterKey(file string) ([]byte, error) {
	key, err := LoadMasterKey(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("store: master key: %w", err)
	}
	key = make([]byte, MasterKeySize)
	_, _ = rand.Read(key) // never fails
	if err := writeNew(file, []byte(hex.EncodeToString(key)+"\n")); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was faster
			return LoadMasterKey(file)
		}
		return nil, fmt.Errorf("store: master key: %w", err)
	}
	return key, nil
}

// writeNew writes a file that must not exist yet. It appears whole or not at all, and
// is on the disk when writeNew returns: what it seals would be lost with it.
func writeNew(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), file)
}

// checkCell is what a master key proves itself with.
func checkCell(id string) Cell { return Cell{Table: "master_keys", Column: "proof", Row: id} }

// wrapCell is where one master key is sealed under another one.
func wrapCell(id, by string) Cell {
	return Cell{Table: "master_key_wraps", Column: "sealed", Row: id + "/" + by}
}

// openKeys makes the node's master key the store's, if the store has none, or checks
// that it is the store's.
func (s *Store) openKeys(ctx context.Context, raw []byte) error {
	k, err := newMasterKey(raw)
	if err != nil {
		return err
	}
	s.keys.keys = map[string]masterKey{k.id: k}
	s.keys.active = k.id
	err = s.Tx(ctx, func(tx *Tx) error {
		n, err := tx.masterKeys(ctx)
		if err != nil || n > 0 {
			return err
		}
		return tx.insertMasterKey(ctx, k)
	})
	if err != nil {
		return fmt.Errorf("store: master key: %w", err)
	}
	return s.loadKeys(ctx)
}

func (tx *Tx) masterKeys(ctx context.Context) (n int64, err error) {
	err = tx.Row(ctx, []any{&n}, "SELECT count(*) FROM master_keys")
	return n, err
}

func (tx *Tx) insertMasterKey(ctx context.Context, k masterKey) error {
	_, err := tx.Exec(ctx, "INSERT INTO master_keys (id, active, proof, created_at) VALUES ($1, 1, $2, $3)",
		k.id, k.seal(checkCell(k.id), []byte(k.id)), Millis(tx.Now()))
	return err
}

// storedKey is a row of master_keys.
type storedKey struct {
	id, proof string
	active    bool
}

// wrap is a row of master_key_wraps: the key id, sealed under the key by.
type wrap struct{ id, by, sealed string }

// loadKeys reads which master keys the store has and opens those that are sealed under
// one that this node has.
func (s *Store) loadKeys(ctx context.Context) error {
	var stored []storedKey
	var wraps []wrap
	err := s.Read(ctx, func(tx *Tx) (err error) {
		stored, err = All(ctx, tx, func(scan Scan) (k storedKey, err error) {
			err = scan(&k.id, &k.proof, &k.active)
			return k, err
		}, "SELECT id, proof, active FROM master_keys")
		if err == nil {
			wraps, err = All(ctx, tx, func(scan Scan) (w wrap, err error) {
				err = scan(&w.id, &w.by, &w.sealed)
				return w, err
			}, "SELECT id, wrapped_by, sealed FROM master_key_wraps")
		}
		return err
	})
	if err != nil {
		return err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	if err := s.keys.unwrapLocked(wraps); err != nil {
		return err
	}
	return s.keys.activateLocked(stored)
}

// unwrapLocked adds every key that it can reach through keys that it has.
func (r *keyring) unwrapLocked(wraps []wrap) error {
	for range wraps { // a chain is no longer than the number of wraps
		for _, w := range wraps {
			by, ok := r.keys[w.by]
			if _, have := r.keys[w.id]; have || !ok {
				continue
			}
			id, body, _ := strings.Cut(w.sealed, ".")
			raw, err := by.open(wrapCell(w.id, w.by), body)
			if err != nil || id != w.by {
				return fmt.Errorf("store: master key %s under %s: %w", w.id, w.by, errCell)
			}
			k, err := newMasterKey(raw)
			if err != nil {
				return err
			}
			r.keys[k.id] = k
		}
	}
	return nil
}

// activateLocked makes the store's active key the one that seals.
func (r *keyring) activateLocked(stored []storedKey) error {
	for _, row := range stored {
		if !row.active {
			continue
		}
		k, ok := r.keys[row.id]
		if !ok {
			return fmt.Errorf("%w: it is sealed under key %s and this node was given %s; give every node the same master_key", ErrMasterKey, row.id, r.active)
		}
		_, body, _ := strings.Cut(row.proof, ".")
		if _, err := k.open(checkCell(k.id), body); err != nil {
			return fmt.Errorf("%w: the proof of key %s does not open", ErrMasterKey, row.id)
		}
		r.active = k.id
		return nil
	}
	return fmt.Errorf("%w: the store has no active key", ErrMasterKey)
}
