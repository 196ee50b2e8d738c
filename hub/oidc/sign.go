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

// A pen is what one answer is signed with. Where the client's key lies outside of the hub,
// no transaction waits for its signature: the step that needs it ends with errUnsigned,
// nothing of it has happened, and it is done again when the signature is there.
type pen struct {
	at   time.Time // that the token says, however long the signature takes
	text string    // that was signed outside; "": nothing was
	sig  []byte
}

// errUnsigned ends a step that needs a signature from outside.
type errUnsigned struct {
	key  store.SealedOIDCKey
	text string
}

// Error implements error.
func (e *errUnsigned) Error() string { return "oidc: a signature from outside is needed" }

// maxDrafts is how often a token is drawn up: once to know what is to be signed, once with
// the signature, and again where what it says, or by which key, has changed meanwhile.
const maxDrafts = 6

// signing runs a step that may sign, and gets what it needs from outside.
func (p *Provider) signing(ctx context.Context, step func(pen *pen) error) error {
	pen := &pen{at: p.cfg.Now()}
	for range maxDrafts {
		err := step(pen)
		needs := (*errUnsigned)(nil)
		if !errors.As(err, &needs) {
			return err
		}
		if err := p.fill(ctx, pen, needs); err != nil {
			return err
		}
	}
	return errors.New("oidc: what is to be signed does not stay the same")
}

// fill gets a signature from outside. Where the one that is there is of something else, it
// may have been about somebody whose name was made for them in the step that ended: then
// the step has to say first what it is now.
func (p *Provider) fill(ctx context.Context, pen *pen, needs *errUnsigned) (err error) {
	if pen.text != "" {
		pen.text = ""
		return p.settleNames(ctx, needs.key.Env)
	}
	if pen.sig, err = p.signOutside(ctx, needs); err == nil {
		pen.text = needs.text
	}
	return err
}

// settleNames sees to it that the environment has the key by which people are named, so
// that whoever is named twice has the same name.
func (p *Provider) settleNames(ctx context.Context, env string) error {
	return p.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.PersonID(ctx, env, "")
		return err
	})
}

// signOutside asks the signer. It is in no transaction.
func (p *Provider) signOutside(ctx context.Context, needs *errUnsigned) ([]byte, error) {
	public, err := party.PublicKey([]byte(needs.key.Public))
	if err == nil {
		return p.cfg.Signer.Sign(ctx, public, []byte(needs.text))
	}
	return nil, err
}

// sign writes a token of a client, with the key that is active now.
func (p *Provider) sign(ctx context.Context, tx *store.Tx, pen *pen, c party.Party, claims jwt.MapClaims) (string, error) {
	all, err := tx.SealedOIDCKeys(ctx, c.Env, c.ID)
	if err != nil {
		return "", err
	}
	now := store.Millis(p.cfg.Now())
	i := slices.IndexFunc(all, func(k store.SealedOIDCKey) bool { return k.ActiveFrom <= now })
	if i < 0 {
		return "", errors.New("oidc: the client has no key that signs")
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(all[i].Algorithm), claims)
	t.Header["kid"] = all[i].ID
	p.sets[c.Terms.Path].outlive(all[i].ID)
	if all[i].Fingerprint != "" {
		return pen.signed(t, all[i])
	}
	private, err := p.parsed.signer(p.cfg.Store, all[i])
	if err != nil {
		return "", err
	}
	return t.SignedString(private)
}

// signed is a token by a key that lies outside, if its signature is there.
func (p *pen) signed(t *jwt.Token, by store.SealedOIDCKey) (string, error) {
	text, err := t.SigningString()
	if err != nil {
		return "", err
	}
	if text != p.text {
		return "", &errUnsigned{key: by, text: text}
	}
	return text + "." + enc.EncodeToString(p.sig), nil
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
