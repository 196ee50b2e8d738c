package staff

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// An Invitation is what its page shows.
type Invitation struct {
	Name, Role string
	Until      time.Time
	Ask        json.RawMessage // PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3, section 5.4)
}

// linkLabel begins the hash of every challenge of an invitation.
const linkLabel = "postern/staff/link/v1"

// challengeOf is what a registration by an invitation signs: it is as secret and as
// short-lived as the link.
func challengeOf(token string) [32]byte { return sha256.Sum256([]byte(linkLabel + token)) }

// Invitation shows an invitation. It uses nothing up.
func (m *Members) Invitation(ctx context.Context, at Place, token string) (inv Invitation, err error) {
	err = m.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		l, who, err := opened(ctx, tx, at, token)
		if err != nil {
			return err
		}
		keys, err := tx.StaffKeys(ctx, l.Org, l.Staff)
		if err != nil {
			return err
		}
		inv = Invitation{Name: who.Name, Role: who.Role, Until: l.Expires}
		inv.Ask, err = creation(who, at, challengeOf(token), keys)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrGone
	}
	return inv, err
}

// timeout is how long a browser waits for the person, in milliseconds.
const timeout = 5 * 60 * 1000

func creation(who store.Staff, at Place, challenge [32]byte, keys []store.StaffKey) ([]byte, error) {
	exclude, params := []any{}, []any{}
	for _, k := range keys {
		var c evidence.Credential
		if err := json.Unmarshal(k.Secret, &c); err != nil {
			return nil, fmt.Errorf("staff: a passkey cannot be read: %w", err)
		}
		if k.RP == at.RPID() {
			exclude = append(exclude, map[string]string{"type": "public-key", "id": encode(c.ID)})
		}
	}
	for _, alg := range []int{evidence.AlgES256, evidence.AlgEdDSA, evidence.AlgRS256} {
		params = append(params, map[string]any{"type": "public-key", "alg": alg})
	}
	handle := sha256.Sum256([]byte(who.Org + "\x00" + who.ID + "\x00" + at.RPID()))
	return json.Marshal(map[string]any{
		"challenge": encode(challenge[:]), "rp": map[string]string{"id": at.RPID(), "name": at.RPID()},
		"user":             map[string]string{"id": encode(handle[:]), "name": who.Mail, "displayName": who.Name},
		"pubKeyCredParams": params, "excludeCredentials": exclude, "attestation": "none", "timeout": timeout,
		"authenticatorSelection": map[string]any{"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
	})
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A Joined person has a passkey now.
type Joined struct {
	store.Staff
	Key         evidence.Credential
	Fingerprint string // of the key, in groups that people read to each other
	Counts      time.Time
}

// Join makes the passkey that an invitation is for, once. A key that vouches counts
// after a wait, of which the other staff are told.
func (m *Members) Join(ctx context.Context, at Place, token string, registration []byte) (j Joined, err error) {
	r, err := evidence.CheckRegistration(registration, challengeOf(token), at.RPID(), evidence.Anchors{Origins: []string{at.Origin}})
	if err != nil {
		return j, errors.Join(ErrKey, err)
	}
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		l, who, err := opened(ctx, tx, at, token)
		if err != nil {
			return err
		}
		if err := tx.UseStaffLink(ctx, l.Hash); err != nil {
			return err
		}
		j, err = m.join(ctx, tx, at, who, r.Credential)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		err = ErrGone
	case err == nil && m.cfg.Mail != nil:
		m.cfg.Mail.Wake()
	}
	return j, err
}

func (m *Members) join(ctx context.Context, tx *store.Tx, at Place, who store.Staff, c evidence.Credential) (j Joined, err error) {
	j.Staff = who
	if err := own(ctx, tx, &j.Staff); err != nil {
		return j, err
	}
	secret, err := json.Marshal(c)
	if err != nil {
		return j, err
	}
	j.Key, j.Fingerprint, j.Counts = c, fingerprint(c), tx.Now()
	if at.Env != "" {
		j.Counts = tx.Now().Add(m.cfg.Wait)
	}
	k := store.StaffKey{Org: who.Org, ID: store.NewID(), Staff: who.ID, RP: at.RPID(), Credential: credentialHash(c.ID), Secret: secret, ActiveAt: j.Counts}
	if err := tx.AddStaffKey(ctx, &k); err != nil {
		return j, err
	}
	if err := m.news(ctx, tx, at, j); err != nil {
		return j, err
	}
	return j, audit.Append(ctx, tx, audit.Event{Org: who.Org, Env: at.Env, Kind: audit.OrgMemberUpdated, Actor: audit.Principal{OrgMember: who.ID, Role: j.Role},
		Detail: map[string]any{"org_member": who.ID, "request": map[string]any{"add_key": k.ID}, "member": who.ID, "key": k.ID, "rp": k.RP, "counts": k.ActiveAt.UTC().Format(time.RFC3339)}})
}

// news tells administrators of a key that vouches.
func (m *Members) news(ctx context.Context, tx *store.Tx, at Place, j Joined) error {
	if at.Env == "" {
		return nil
	}
	return m.tell(ctx, tx, at.Env, j.Staff, Message{Kind: NewKey, Origin: at.Origin, Who: j.Name, Until: j.Counts})
}

func credentialHash(id []byte) string {
	sum := sha256.Sum256(id)
	return encode(sum[:])
}

// fingerprint writes the key's hash in groups of four hexadecimal digits.
func fingerprint(c evidence.Credential) string {
	h := c.Hash()
	text := hex.EncodeToString(h[:])
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, " ")
}
