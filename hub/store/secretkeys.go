package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
)

// SecretPrefix begins every text that EncryptSecret returns, so that a setting which
// takes a secret knows one, and scanners of repositories do.
const SecretPrefix = "postern-sealed-v1."

// ErrSecret says that a text was not encrypted for this environment by this hub.
var ErrSecret = errors.New("store: a secret that was not encrypted for this environment")

const secretKeySize = 32

func secretKeyCell(env string) Cell {
	return Cell{Env: env, Table: "secret_keys", Column: "secret", Row: env}
}

// EncryptSecret encrypts a secret so that it opens in this environment of this hub alone,
// also after the master key was changed. Nothing of it is kept.
func (s *Store) EncryptSecret(ctx context.Context, env string, plain []byte) (string, error) {
	aead, err := Get(ctx, s, func(tx *Tx) (cipher.AEAD, error) { return tx.secretCipher(ctx, env) })
	if errors.Is(err, ErrNotFound) {
		aead, err = Change(ctx, s, func(tx *Tx) (cipher.AEAD, error) {
			if err := tx.needSecretKey(ctx, env); err != nil {
				return nil, err
			}
			return tx.secretCipher(ctx, env)
		})
	}
	if err != nil {
		return "", err
	}
	return SecretPrefix + base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, plain, []byte(SecretPrefix+env))), nil
}

// OpenSecret returns what EncryptSecret encrypted, and any other text as it is. ErrSecret
// if it was encrypted elsewhere.
func (tx *Tx) OpenSecret(ctx context.Context, env, text string) (string, error) {
	body, ok := strings.CutPrefix(text, SecretPrefix)
	if !ok {
		return text, nil
	}
	aead, err := tx.secretCipher(ctx, env)
	if errors.Is(err, ErrNotFound) {
		return "", ErrSecret
	}
	if err != nil {
		return "", err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(body, "\r\n"))
	if err != nil {
		return "", ErrSecret
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(SecretPrefix+env))
	if err != nil {
		return "", ErrSecret
	}
	return string(plain), nil
}

func (tx *Tx) secretCipher(ctx context.Context, env string) (cipher.AEAD, error) {
	sealed, err := One(ctx, tx, Text, "SELECT secret FROM secret_keys WHERE env = $1", env)
	if err != nil {
		return nil, err
	}
	key, err := tx.Unseal(secretKeyCell(env), sealed)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// needSecretKey makes the key of an environment unless it has one.
func (tx *Tx) needSecretKey(ctx context.Context, env string) error {
	key := make([]byte, secretKeySize)
	_, _ = rand.Read(key) // never fails
	sealed, err := tx.Seal(secretKeyCell(env), key)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO secret_keys (env, secret, created_at) VALUES ($1, $2, $3) ON CONFLICT (env) DO NOTHING", env, sealed, Millis(tx.Now()))
	return err
}
