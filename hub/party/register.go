package party

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// maxSecrets is how many secrets of a client are live at a time: the one in use and the
// one that takes its place.
const maxSecrets = 2

// ErrSecrets says that a client has no secrets: its contract knows none, or it proves
// itself in another way.
var ErrSecrets = errors.New("party: this client has no secret")

// Add makes a client, with its first key; id is "" or what the client is besides: its
// environment, or its directory. The caller has checked the settings, and made the key
// outside of the transaction.
func Add(ctx context.Context, tx *store.Tx, env, id string, c Contract, directory string, s Settings, k store.OIDCKey) (store.OIDCClient, error) {
	out := store.OIDCClient{Env: env, ID: id, Contract: string(c), Directory: directory, Settings: []byte(store.JSON(s)), Secrets: []store.OIDCSecret{}}
	if err := tx.AddOIDCClient(ctx, &out); err != nil {
		return out, err
	}
	return out, Rotate(ctx, tx, env, out.ID, k)
}

// Change replaces the settings of a client. The contract stays what it is.
func Change(ctx context.Context, tx *store.Tx, c *store.OIDCClient, directory string, s Settings) error {
	c.Directory, c.Settings = directory, []byte(store.JSON(s))
	return tx.SaveOIDCClient(ctx, c)
}

// NewSecret makes a secret of a client, which is shown once. The oldest ends where there
// are two already.
func NewSecret(ctx context.Context, tx *store.Tx, c *store.OIDCClient) (protocol.Secret, error) {
	if of, err := of(*c); err != nil {
		return protocol.Secret{}, err
	} else if !HasSecret(of.Terms.Contract, of.Settings) {
		return protocol.Secret{}, ErrSecrets
	}
	secret := store.NewToken()
	c.Secrets = append([]store.OIDCSecret{{Hash: store.HashToken(secret), AddedAt: tx.Now()}}, c.Secrets[:min(len(c.Secrets), maxSecrets-1)]...)
	return protocol.NewSecret(secret), tx.SaveOIDCClient(ctx, c)
}

// EndSecrets ends every secret of a client but the newest.
func EndSecrets(ctx context.Context, tx *store.Tx, c *store.OIDCClient) error {
	c.Secrets = slices.Clone(c.Secrets[:min(len(c.Secrets), 1)])
	return tx.SaveOIDCClient(ctx, c)
}

// A KeyView is a key as administrators see it.
type KeyView struct {
	ID         string    `json:"kid"`
	Algorithm  string    `json:"alg"`
	State      string    `json:"state"`
	ActiveFrom time.Time `json:"active_from"`
	// External is the fingerprint of a key that lies with a signer outside of the hub.
	External string `json:"external,omitempty"`
}

// Keys returns the keys of a client, the newest first.
func Keys(ctx context.Context, tx *store.Tx, env, client string) ([]KeyView, error) {
	all, err := tx.OIDCKeys(ctx, env, client)
	list := []KeyView{}
	for _, k := range all {
		list = append(list, KeyView{k.ID, k.Algorithm, StateOf(k, all, tx.Now()), k.ActiveFrom, k.Fingerprint})
	}
	return list, err
}
