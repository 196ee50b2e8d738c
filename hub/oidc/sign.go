package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

var enc = base64.RawURLEncoding

// sign writes a token of a client, with the key that is active now.
func (p *Provider) sign(ctx context.Context, tx *store.Tx, c party.Party, claims jwt.MapClaims) (string, error) {
	all, err := tx.SealedOIDCKeys(ctx, c.Env, c.ID)
	if err != nil {
		return "", err
	}
	now := store.Millis(p.cfg.Now())
	i := slices.IndexFunc(all, func(k store.SealedOIDCKey) bool { return k.ActiveFrom <= now })
	if i < 0 {
		return "", errors.New("oidc: the client has no key that signs")
	}
	private, err := p.parsed.signer(p.cfg.Store, all[i])
	if err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(all[i].Algorithm), claims)
	t.Header["kid"] = all[i].ID
	p.sets[c.Terms.Path].outlive(all[i].ID)
	return t.SignedString(private)
}

// keysKept is how long a node answers with the same key set: a key is published long
// before it signs, but for a client's first.
const keysKept = time.Second

// A keptSet is what the keys endpoint of an issuer answered last.
type keptSet struct {
	mu   sync.Mutex
	body []byte
	at   time.Time
}

// outlive lets the set be read anew before its time where a key is not in it: a client's
// first key signs at once, and its token must not come before it.
func (k *keptSet) outlive(kid string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !bytes.Contains(k.body, []byte(kid)) {
		k.body = nil
	}
}

// keySet returns what the keys endpoint of an issuer answers.
func (p *Provider) keySet(ctx context.Context, at party.Issuer) ([]byte, error) {
	kept, now := p.sets[at.Path], p.cfg.Now()
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if age := now.Sub(kept.at); kept.body != nil && age >= 0 && age < keysKept {
		return kept.body, nil
	}
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{[]json.RawMessage{}}
	for _, row := range at.Contracts {
		all, err := store.Get(ctx, p.cfg.Store, func(tx *store.Tx) ([]string, error) { return tx.PublishedOIDCKeys(ctx, string(row.Contract)) })
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			set.Keys = append(set.Keys, json.RawMessage(k))
		}
	}
	body, err := json.Marshal(set)
	if err == nil {
		kept.body, kept.at = body, now
	}
	return body, err
}
