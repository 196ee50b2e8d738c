package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/store"
)

// maxSecret bounds a secret that is encrypted, in bytes: a private key in PEM fits.
const maxSecret = 8 << 10

// encryptSecretRequest is the wire type EncryptSecretRequest.
type encryptSecretRequest struct {
	Plaintext string `json:"plaintext"`
}

// redacted implements redactor.
func (*encryptSecretRequest) redacted() any { return nil }

// encryptedSecret is the wire type EncryptSecretResponse.
type encryptedSecret struct {
	Ciphertext string `json:"ciphertext"`
}

// encryptSecret answers with a text that stands for a secret wherever the settings of
// this environment take one: in a file under version control it tells nothing, and only
// this hub opens it, only for this environment.
func encryptSecret(context.Context, *call, *store.Tx, *encryptSecretRequest) (any, error) {
	return nil, nil // the row's transaction only reads; giveCiphertext may have to make the key
}

// giveCiphertext encrypts, after the transaction.
func giveCiphertext(ctx context.Context, c *call, _ any) (any, error) {
	plain := c.body.(*encryptSecretRequest).Plaintext
	if plain == "" || len(plain) > maxSecret {
		return nil, bad(fmt.Sprintf("plaintext: want 1 to %d bytes", maxSecret))
	}
	text, err := c.api.Store.EncryptSecret(ctx, c.env.ID, []byte(plain))
	return encryptedSecret{text}, err
}

// openSecrets opens settings that hold secrets which encryptSecret gave; others stay as
// they are.
func (c *call) openSecrets(ctx context.Context, tx *store.Tx, member string, all ...*string) error {
	for _, s := range all {
		if s == nil {
			continue
		}
		plain, err := tx.OpenSecret(ctx, c.env.ID, *s)
		if errors.Is(err, store.ErrSecret) {
			return bad(member + ": this ciphertext was not made by this hub for this environment; use POST /api/envs/{env}/encrypt-secret")
		}
		if err != nil {
			return err
		}
		*s = plain
	}
	return nil
}
