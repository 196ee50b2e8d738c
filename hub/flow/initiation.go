package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// confirmTries is how many codes may be typed for one claim.
const confirmTries = 5

// Confirm gives the recovery to the browser that has read its ticket, if code is what
// that browser shows: whoever relays a picture to somebody elsewhere does not see it.
// Where there is nothing left to prove, or the two browsers are in different networks,
// what was proven by a code here is asked for once more there. ErrWrongCode; ErrTooMany
// when too many were typed, after which the claim is refused.
func (r *Recoveries) Confirm(ctx context.Context, env, id, session, code string) error {
	var wrong error
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		c, err := tx.Claim(ctx, env, id)
		if errors.Is(err, store.ErrNotFound) {
			return recovery.ErrStep
		} else if err != nil {
			return err
		}
		v, err := r.givable(ctx, tx, rec)
		if err != nil {
			return err
		}
		if rec.State == recovery.Preparing {
			return recovery.ErrTooSoon
		}
		if wrong, err = r.typed(ctx, tx, rec, c, code); err != nil || wrong != nil {
			return err
		}
		return r.give(ctx, tx, rec, v, c)
	})
	if err == nil && wrong == nil {
		r.poke(&rec)
	}
	return errors.Join(err, wrong)
}

// typed counts a code and says what is wrong with it. The last wrong one refuses the claim.
func (r *Recoveries) typed(ctx context.Context, tx *store.Tx, rec *store.Recovery, c store.Claim, code string) (wrong, err error) {
	if err := tx.TryHandover(ctx, rec.Env, c.Hash, confirmTries); err != nil {
		return nil, err
	}
	given := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, code)
	for _, right := range r.handoverCodes(c.Hash) {
		if subtle.ConstantTimeCompare([]byte(given), []byte(right)) == 1 {
			return nil, nil
		}
	}
	if c.Tries+1 < confirmTries {
		return recovery.ErrWrongCode, nil
	}
	return recovery.ErrTooMany, tx.RefuseHandover(ctx, rec.Env, c.Hash)
}

// handoverCodes returns the six digits that belong to a ticket, first under the key of now.
func (r *Recoveries) handoverCodes(hash string) (codes []string) {
	for _, key := range r.Store.DeriveKeys(handoverKeyPurpose) {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(hash))
		codes = append(codes, fmt.Sprintf("%06d", binary.BigEndian.Uint64(m.Sum(nil))%1_000_000))
	}
	return codes
}

// give makes the browser of the claim the recovery's own.
func (r *Recoveries) give(ctx context.Context, tx *store.Tx, rec *store.Recovery, v store.Verification, c store.Claim) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	again, err := r.anew(ctx, tx, rec, &v, c.Far)
	if err != nil {
		return err
	}
	e := recovery.Event(rec, p, audit.RecoveryHandedOver, map[string]any{"step": "confirmed", "other_network": c.Far, "asked_again": again})
	return errors.Join(tx.GiveHandover(ctx, rec.Env, c.Hash, rec.Session), tx.GiveRecovery(ctx, rec, c.Session), audit.Append(ctx, tx, e))
}

// anew prepares what the other browser is asked for. Nothing that it proves is bound to
// the key of this one.
func (r *Recoveries) anew(ctx context.Context, tx *store.Tx, rec *store.Recovery, v *store.Verification, far bool) (again []string, err error) {
	keyed := len(rec.Recipient) > 0
	rec.Recipient = nil
	if far || rec.State == recovery.Ready {
		again = provenAgain(v.Proven)
	}
	if len(again) == 0 {
		if row, _ := policy.MethodByName(policy.Method(v.Shown)); !keyed && !row.Bound {
			return nil, nil // what is asked for stays open
		}
		v.Shown = only(v.Offered)
		return nil, errors.Join(r.ask(ctx, tx, rec, v), tx.SaveVerification(ctx, v))
	}
	v.Proven = slices.DeleteFunc(slices.Clone(v.Proven), func(m string) bool { return slices.Contains(again, m) })
	v.State, v.Offered, v.Shown = store.VerificationOpen, again, only(again)
	err = rests(ctx, tx, rec, v)
	for _, m := range again {
		row, _ := policy.MethodByName(policy.Method(m))
		for _, kind := range row.Evidence {
			err = errors.Join(err, tx.DropEvidenceOf(ctx, rec.Env, v.ID, kind))
		}
	}
	return again, errors.Join(err, r.ask(ctx, tx, rec, v), tx.SaveVerification(ctx, v))
}

// provenAgain lists what is proven once more in another browser: the codes that were
// sent, which cost nobody anything, or else everything.
func provenAgain(proven []string) []string {
	sent := slices.DeleteFunc(slices.Clone(proven), func(m string) bool { return !isSent(policy.Method(m)) })
	if len(sent) > 0 {
		return sent
	}
	return slices.Clone(proven)
}

// RefuseClaim says that the browser that has read the ticket is somebody else's.
func (r *Recoveries) RefuseClaim(ctx context.Context, env, id, session string) error {
	_, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		c, err := tx.Claim(ctx, env, id)
		if errors.Is(err, store.ErrNotFound) {
			return recovery.ErrStep
		} else if err != nil {
			return err
		}
		p, err := recovery.PrivateOf(rec)
		if err != nil {
			return err
		}
		return errors.Join(tx.RefuseHandover(ctx, env, c.Hash),
			audit.Append(ctx, tx, recovery.Event(rec, p, audit.RecoveryHandedOver, map[string]any{"step": "refused"})))
	})
	return err
}

// reading is what the browser may see that has read a ticket and shows its code.
func (r *Recoveries) reading(ctx context.Context, tx *store.Tx, env, id string) (View, error) {
	rec, err := tx.Recovery(ctx, env, id)
	if err != nil {
		return View{}, err
	}
	in, err := recovery.IntentOf(&rec)
	v := View{ID: id, Step: StepReading, Flow: in.Flow, Language: rec.Language, ExpiresAt: rec.ExpiresAt, Action: protocol.Action(rec.Action)}
	if !recovery.IsOpen(rec.State) || !rec.ExpiresAt.After(r.Now()) {
		v.Step, v.Ended = StepEnded, recovery.EndRefused
		if rec.Ending != "" {
			v.Ended = recovery.Ending(rec.Ending)
		}
	}
	return v, err
}

// networkOf returns what two browsers at one place have in common of their addresses.
func networkOf(client string) string {
	ip, err := netip.ParseAddr(client)
	if err != nil {
		return "unknown"
	}
	bits := 48
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 24
	}
	prefix, _ := ip.Prefix(bits) // never fails for as many bits
	return prefix.String()
}

// maskAddress leaves enough of an address for its owner to know it.
func maskAddress(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" {
		return ""
	}
	first := []rune(local)[0]
	return string(first) + "•••@" + domain
}
