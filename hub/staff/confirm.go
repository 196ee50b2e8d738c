package staff

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// confirmLabel begins the hash of every challenge over a decision.
const confirmLabel = "postern/staff/confirm/v1"

// overDecision is what a passkey signs over a decision.
func overDecision(state, about []byte) [32]byte {
	sum := sha256.Sum256(about)
	return sha256.Sum256(append(append([]byte(confirmLabel), state...), sum[:]...))
}

// Ask makes what a page asks the browser for, of somebody who is signed in and decides:
// their passkey once more, over exactly what they decide. Nothing is kept, as of SignIn.
func (m *Members) Ask(ctx context.Context, at Place, org, id string, about []byte) (state string, ask json.RawMessage, err error) {
	keys, err := store.Get(ctx, m.cfg.Store, func(tx *store.Tx) ([]store.StaffKey, error) { return tx.StaffKeys(ctx, org, id) })
	if err != nil {
		return "", nil, err
	}
	allow := []any{}
	for _, k := range keys {
		var c evidence.Credential
		if err := json.Unmarshal(k.Secret, &c); err != nil {
			return "", nil, fmt.Errorf("staff: a passkey cannot be read: %w", err)
		}
		if k.RP == at.RPID() {
			allow = append(allow, map[string]string{"type": "public-key", "id": encode(c.ID)})
		}
	}
	raw, state := m.newState()
	challenge := overDecision(raw, about)
	ask, err = json.Marshal(map[string]any{"challenge": encode(challenge[:]), "rpId": at.RPID(), "timeout": timeout, "userVerification": "required", "allowCredentials": allow})
	return state, ask, err
}

// Confirm checks the answer, once: that the person is there, and signed what they decide.
func (m *Members) Confirm(ctx context.Context, at Place, org, id, state string, about, assertion []byte) error {
	raw, until, err := m.stateIn(state)
	if err != nil {
		return err
	}
	a, err := evidence.ParseAssertion(assertion)
	if err != nil {
		return errors.Join(ErrKey, err)
	}
	return m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		k, err := tx.StaffKeyByCredential(ctx, at.RPID(), credentialHash(a.Credential))
		if err != nil {
			return errors.Join(ErrKey, err)
		}
		if k.Org != org || k.Staff != id {
			return ErrKey
		}
		challenge := overDecision(raw, about)
		if err := checkKey(k, assertion, challenge, at, tx.Now()); err != nil {
			return err
		}
		if err := tx.UseChallenge(ctx, encode(challenge[:]), until); err != nil {
			return ErrGone
		}
		return tx.StaffKeyUsed(ctx, k.Org, k.ID)
	})
}

// checkKey checks an answer with a key that counts at now.
func checkKey(k store.StaffKey, assertion []byte, challenge [32]byte, at Place, now time.Time) error {
	var c evidence.Credential
	if err := json.Unmarshal(k.Secret, &c); err != nil {
		return fmt.Errorf("staff: a passkey cannot be read: %w", err)
	}
	if err := evidence.CheckPasskey(assertion, c, challenge, evidence.Anchors{Origins: []string{at.Origin}}); err != nil || k.ActiveAt.After(now) {
		return errors.Join(ErrKey, err)
	}
	return nil
}
