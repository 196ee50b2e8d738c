package factor

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// creation is what the page's script gives to navigator.credentials.create: the members
// of PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3, section 5.4).
type creation struct {
	Challenge string       `json:"challenge"`
	RP        party        `json:"rp"`
	User      party        `json:"user"`
	Params    []algorithm  `json:"pubKeyCredParams"`
	Exclude   []descriptor `json:"excludeCredentials"`
	Selection selection    `json:"authenticatorSelection"`
	Attest    string       `json:"attestation"`
	Timeout   int          `json:"timeout"`
}

type party struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
}

type algorithm struct {
	Type string `json:"type"`
	Alg  int    `json:"alg"`
}

type descriptor struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type selection struct {
	ResidentKey        string `json:"residentKey"`
	RequireResidentKey bool   `json:"requireResidentKey"`
	UserVerification   string `json:"userVerification"`
}

// publicKey is the one type of credential that WebAuthn has.
const publicKey = "public-key"

// timeout is how long a browser waits for the person, in milliseconds.
const timeout = 5 * 60 * 1000

// userPurpose is the purpose for which the store derives the key of user handles.
const userPurpose = "postern/factor/user/v1"

// BeginPasskey opens the making of a passkey: an id to finish it by, and what the page's
// script asks the browser for. Its challenge is random: a registration is no evidence,
// and no assertion can be made of it (T1).
func (f *Factors) BeginPasskey(ctx context.Context, o Owner) (id string, ask json.RawMessage, err error) {
	keys, err := f.keysOf(ctx, o)
	if err != nil {
		return "", nil, err
	}
	var challenge [32]byte
	_, _ = rand.Read(challenge[:]) // never fails
	if id, err = f.begin(ctx, o, Passkey, "", challenge[:]); err != nil {
		return "", nil, err
	}
	c := creation{
		Challenge: encode(challenge[:]), RP: party{ID: o.RPID, Name: o.RPID}, User: party{ID: f.userHandle(o), Name: o.Name, DisplayName: o.Name},
		Selection: selection{"required", true, "required"}, Attest: "none", Timeout: timeout, Exclude: []descriptor{},
	}
	for _, alg := range []int{evidence.AlgES256, evidence.AlgEdDSA, evidence.AlgRS256} {
		c.Params = append(c.Params, algorithm{publicKey, alg})
	}
	for _, k := range keys {
		if k.RPID == o.RPID {
			c.Exclude = append(c.Exclude, descriptor{publicKey, encode(k.ID)})
		}
	}
	ask, err = json.Marshal(c)
	return id, ask, err
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

// userHandle names the account to authenticators without saying who it is.
func (f *Factors) userHandle(o Owner) string {
	mac := hmac.New(sha256.New, f.cfg.Store.DeriveKeys(userPurpose)[0])
	mac.Write([]byte(o.Env + "\x00" + o.Directory + "\x00" + o.Account))
	return encode(mac.Sum(nil))
}

// keysOf lists the credentials of the owner's passkeys.
func (f *Factors) keysOf(ctx context.Context, o Owner) ([]evidence.Credential, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) ([]evidence.Credential, error) {
		all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
		var keys []evidence.Credential
		for _, row := range all {
			if row.Kind != Passkey || row.ActiveAt.IsZero() {
				continue
			}
			c, err := credentialOf(row)
			if err != nil {
				return nil, err
			}
			keys = append(keys, c)
		}
		return keys, err
	})
}

func credentialOf(row store.Factor) (c evidence.Credential, err error) {
	if err := json.Unmarshal(row.Secret, &c); err != nil {
		return c, fmt.Errorf("factor: a passkey cannot be read: %w", err)
	}
	return c, nil
}

// FinishPasskey takes what the browser made. A credential that anybody of the
// environment has is ErrTaken.
func (f *Factors) FinishPasskey(ctx context.Context, o Owner, id, label string, registration []byte) error {
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		row, err := own(ctx, tx, o, id)
		if err != nil {
			return err
		}
		if row.Kind != Passkey || !row.ActiveAt.IsZero() || len(row.Secret) != 32 {
			return ErrNotFound
		}
		r, err := evidence.CheckRegistration(registration, [32]byte(row.Secret), o.RPID, evidence.Anchors{Origins: []string{o.Origin}})
		if err != nil {
			return errors.Join(ErrWrong, err)
		}
		if row.Secret, err = json.Marshal(r.Credential); err != nil {
			return err
		}
		row.Label, row.Credential = Label(label), hashOf(r.ID)
		return f.confirmed(ctx, tx, o, row)
	})
	if err == nil {
		f.cfg.Notices.Wake()
	}
	return err
}

// Credential returns the owner's passkey, for the operation that enrols it at the agent.
func (f *Factors) Credential(ctx context.Context, o Owner, id string) (evidence.Credential, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) (evidence.Credential, error) {
		row, err := own(ctx, tx, o, id)
		if err == nil && (row.Kind != Passkey || row.ActiveAt.IsZero()) {
			err = ErrNotFound
		}
		if err != nil {
			return evidence.Credential{}, err
		}
		return credentialOf(row)
	})
}
