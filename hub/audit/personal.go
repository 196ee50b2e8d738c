package audit

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/store"
)

// personal is the member of a leaf that is encrypted under a person's key.
type personal struct {
	Person  string            `json:"person"`
	Key     string            `json:"key"` // id of the key
	Members map[string]string `json:"members"`
}

// Members that hold the client of an event that concerns an account.
const (
	remoteMember = "remote_addr"
	agentMember  = "user_agent"
)

// encrypt encrypts members for one leaf. A value opens only in its leaf and member.
func encrypt(ctx context.Context, tx *store.Tx, env, person, leaf string, members map[string]string) (*personal, error) {
	k, err := tx.NeedPersonKey(ctx, env, person)
	if err != nil {
		return nil, fmt.Errorf("key of the person: %w", err)
	}
	aead, err := personCipher(k.Secret)
	if err != nil {
		return nil, err
	}
	p := &personal{Person: person, Key: k.ID, Members: map[string]string{}}
	for name, value := range members {
		p.Members[name] = base64.RawStdEncoding.EncodeToString(aead.Seal(nil, nil, []byte(value), place(leaf, name)))
	}
	return p, nil
}

// decrypt returns the members, or erased if their key was destroyed.
func (p *personal) decrypt(ctx context.Context, tx *store.Tx, env, leaf string) (members map[string]string, erased bool, err error) {
	k, err := tx.PersonKey(ctx, env, p.Person)
	if errors.Is(err, store.ErrNotFound) || err == nil && (k.Secret == nil || k.ID != p.Key) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	aead, err := personCipher(k.Secret)
	if err != nil {
		return nil, false, err
	}
	members = make(map[string]string, len(p.Members))
	for name, value := range p.Members {
		b, err := base64.RawStdEncoding.DecodeString(value)
		if err == nil {
			b, err = aead.Open(nil, nil, b, place(leaf, name))
		}
		if err != nil {
			return nil, false, fmt.Errorf("audit: event %s: member %s is damaged", leaf, name)
		}
		members[name] = string(b)
	}
	return members, false, nil
}

// place is the associated data of a member. Ids of leaves have a fixed length.
func place(leaf, name string) []byte { return []byte("postern/audit/v1" + leaf + name) }

func personCipher(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Erase destroys the key of a person: of an account by its row id, or of whoever typed
// an address in a recovery by "trace:" and its trace. Leaves stay as they are.
// store.ErrNotFound if nothing personal was logged or it was erased before.
func Erase(ctx context.Context, tx *store.Tx, env, person string) error {
	return tx.ErasePersonKey(ctx, env, person)
}
