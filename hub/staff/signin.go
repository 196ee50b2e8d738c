package staff

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// signInPurpose is the purpose for which the store derives the key of challenges.
const signInPurpose = "postern/staff/sign-in/v1"

// signInLife is how long a page that asks for a sign-in works.
const signInLife = 10 * time.Minute

// SignIn makes what a page asks the browser for. Nothing is kept: the state goes into a
// cookie and comes back with the answer.
func (m *Members) SignIn(at Place) (state string, ask json.RawMessage, err error) {
	b, state := m.newState()
	challenge := sha256.Sum256(b)
	ask, err = json.Marshal(map[string]any{"challenge": encode(challenge[:]), "rpId": at.RPID(), "timeout": timeout, "userVerification": "required", "allowCredentials": []any{}})
	return state, ask, err
}

// newState makes random bytes with the time until which they count, and the text of them
// that only we can make.
func (m *Members) newState() (raw []byte, state string) {
	raw = make([]byte, 32+8)
	_, _ = rand.Read(raw[:32]) // never fails
	binary.BigEndian.PutUint64(raw[32:], uint64(m.cfg.Store.Now().Add(signInLife).Unix()))
	return raw, encode(append(raw[:40:40], m.mac(m.cfg.Store.DeriveKeys(signInPurpose)[0], raw)...))
}

func (*Members) mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

// stateIn returns the bytes of a state that we made and that has not ended.
func (m *Members) stateIn(state string) (raw []byte, until time.Time, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(b) != 32+8+sha256.Size {
		return nil, time.Time{}, ErrGone
	}
	until = time.Unix(int64(binary.BigEndian.Uint64(b[32:40])), 0)
	ours := slices.ContainsFunc(m.cfg.Store.DeriveKeys(signInPurpose), func(k []byte) bool { return hmac.Equal(m.mac(k, b[:40]), b[40:]) })
	if !ours || !until.After(m.cfg.Store.Now()) {
		return nil, time.Time{}, ErrGone
	}
	return b[:40], until, nil
}

// Enter checks the answer of a sign-in, once, and opens a session, whose cookie is
// returned. Whoever is suspended, or only vouches, is ErrRole.
func (m *Members) Enter(ctx context.Context, at Place, state string, assertion []byte, device, address string) (session string, err error) {
	raw, until, err := m.stateIn(state)
	if err != nil {
		return "", err
	}
	challenge := sha256.Sum256(raw)
	a, err := evidence.ParseAssertion(assertion)
	if err != nil {
		return "", errors.Join(ErrKey, err)
	}
	session = store.NewToken()
	var who store.Staff
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		k, err := tx.StaffKeyByCredential(ctx, at.RPID(), credentialHash(a.Credential))
		if err != nil {
			return errors.Join(ErrKey, err)
		}
		if err := checkKey(k, assertion, challenge, at, tx.Now()); err != nil {
			return err
		}
		if who, err = tx.Staff(ctx, k.Org, k.Staff); err != nil {
			return err
		}
		if who.Role == Approver || who.Suspended(tx.Now()) {
			return ErrRole
		}
		if err := admitted(ctx, tx, k.Org, address); err != nil {
			return err
		}
		if err := tx.UseChallenge(ctx, encode(challenge[:]), until); err != nil {
			return ErrGone
		}
		return m.enter(ctx, tx, who, k, session, device, address)
	})
	if errors.Is(err, ErrAddress) {
		err = errors.Join(err, m.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return Refused(ctx, tx, who, device, address) }))
	}
	return session, err
}

// Refused writes down that an organisation's list of addresses kept one of its staff out,
// once a minute for an address: whoever tries again and again fills no log.
func Refused(ctx context.Context, tx *store.Tx, who store.Staff, device, address string) error {
	const often = time.Minute
	minute := tx.Now().Truncate(often)
	mark := sha256.Sum256([]byte("refused\x00" + who.Org + "\x00" + address + "\x00" + minute.UTC().Format(time.RFC3339)))
	err := tx.UseChallenge(ctx, encode(mark[:]), minute.Add(often))
	if errors.Is(err, store.ErrConflict) {
		return nil // it stands there
	}
	if err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Org: who.Org, Kind: audit.ConsoleRefused, Actor: audit.Principal{OrgMember: who.ID, Role: who.Role},
		Trace: who.ID, RemoteAddr: address, UserAgent: device[:min(len(device), maxDevice)]})
}

// admitted returns ErrAddress where an organisation lets nobody in from an address.
func admitted(ctx context.Context, tx *store.Tx, id, address string) error {
	org, err := tx.Organisation(ctx, id)
	if err != nil {
		return err
	}
	if from, _ := netip.ParseAddr(address); !org.Admits(from) { // the zero Addr is on no list
		return ErrAddress
	}
	return nil
}

func (*Members) enter(ctx context.Context, tx *store.Tx, who store.Staff, k store.StaffKey, session, device, address string) error {
	err := errors.Join(own(ctx, tx, &who), tx.StaffKeyUsed(ctx, k.Org, k.ID), tx.OpenStaffSession(ctx, who.Org, who.ID, store.HashToken(session), device[:min(len(device), maxDevice)]))
	if err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Org: who.Org, Kind: audit.ConsoleSignin, Actor: audit.Principal{OrgMember: who.ID, Role: who.Role},
		Detail: map[string]any{"key": k.ID}, Trace: who.ID, RemoteAddr: address, UserAgent: device})
}

// maxDevice bounds what is kept of a browser's description, in bytes.
const maxDevice = 400
