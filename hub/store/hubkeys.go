package store

import (
	"context"
	"errors"
)

// A HubKey is a key pair of the installation. The same on every node.
type HubKey struct {
	Public, Private []byte
}

// Names of the installation's key pairs.
const (
	HubKeyNoise = "noise" // X25519: agents pin the public part
	HubKeyLog   = "log"   // Ed25519: signs the audit log
)

func hubKeyCell(name string) Cell { return Cell{Table: "hub_keys", Column: "private", Row: name} }

// HubKey returns a key pair of the installation. The first caller on any node makes it
// with generate; all others get that one.
func (s *Store) HubKey(ctx context.Context, name string, generate func() (HubKey, error)) (HubKey, error) {
	k, err := Get(ctx, s, func(tx *Tx) (HubKey, error) { return tx.hubKey(ctx, name) })
	if !errors.Is(err, ErrNotFound) {
		return k, err
	}
	fresh, err := generate()
	if err != nil {
		return HubKey{}, err
	}
	return Change(ctx, s, func(tx *Tx) (HubKey, error) {
		k, err := tx.hubKey(ctx, name)
		if !errors.Is(err, ErrNotFound) {
			return k, err
		}
		return fresh, tx.insertHubKey(ctx, name, fresh)
	})
}

func (tx *Tx) hubKey(ctx context.Context, name string) (HubKey, error) {
	var public, sealed string
	if err := tx.Row(ctx, []any{&public, &sealed}, "SELECT public, private FROM hub_keys WHERE name = $1", name); err != nil {
		return HubKey{}, err
	}
	pub, err := ParseBase64(public)
	if err != nil {
		return HubKey{}, err
	}
	private, err := tx.Unseal(hubKeyCell(name), sealed)
	return HubKey{Public: pub, Private: private}, err
}

func (tx *Tx) insertHubKey(ctx context.Context, name string, k HubKey) error {
	sealed, err := tx.Seal(hubKeyCell(name), k.Private)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO hub_keys (name, public, private, created_at) VALUES ($1, $2, $3, $4)",
		name, Base64(k.Public), sealed, Millis(tx.Now()))
	return err
}
