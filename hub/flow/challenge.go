package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// enrollFlow is the flow of people who set an account up (microsite parameter "flow").
const enrollFlow = "enroll"

// decoyPurpose is the purpose for which the store derives the key of decoys' contexts.
const decoyPurpose = "postern/flow/decoy/v1"

// subject is the person of a recovery that an agent began.
func (r *Recoveries) subject(rec *store.Recovery, c *recovery.Case) (verify.Subject, error) {
	s, err := r.anybody(rec, c)
	if err != nil {
		return s, err
	}
	if s.Recovery, err = recovery.FullID(rec); err != nil {
		return s, err
	}
	s.Agent, s.Operation, s.Account, s.Person, s.Name, s.Groups = rec.Agent, rec.Tasks, rec.Account, rec.Person, c.Account.Name, c.Groups
	s.Device, s.Address, s.AskedAt = c.Private.Client.UserAgent, c.Private.Client.Address, rec.CreatedAt
	s.Strength, s.Recipient, s.Terms = policy.Strength(rec.Strength), rec.Recipient, c.Private.Terms
	for _, m := range c.Verification.Proven {
		s.Proven = append(s.Proven, policy.Method(m))
	}
	if c.Private.Contacts != nil {
		s.Contacts = *c.Private.Contacts
	}
	tasks, err := protocol.ParseTasks(rec.Tasks)
	if err != nil {
		return s, err
	}
	if !recovery.HasSecret(tasks) || len(rec.Recipient) > 0 {
		m, err := recovery.Members(rec)
		s.Context = m.Context()
		return s, err
	}
	return s, nil
}

// decoy is nobody, who must look like somebody: its context is random, and the same
// whenever the recovery is asked.
func (r *Recoveries) decoy(rec *store.Recovery, c *recovery.Case) (verify.Subject, error) {
	s, err := r.anybody(rec, c)
	if err != nil {
		return s, err
	}
	tasks, err := publicTasks(rec, c.Directory)
	if err != nil {
		return s, err
	}
	hub, err := base64.RawURLEncoding.DecodeString(rec.ID)
	mac := hmac.New(sha256.New, r.Store.DeriveKeys(decoyPurpose)[0])
	mac.Write([]byte(rec.Env + "\x00" + rec.ID))
	s.Context = protocol.Context(mac.Sum(nil))
	other := sha256.Sum256(s.Context[:]) // so that the id does not show the context
	s.Recovery, s.Operation = protocol.RecoveryID(hub, other[:protocol.RandomPart]), protocol.CanonicalTasks(tasks)
	return s, err
}

// anybody is what is true of every subject.
func (r *Recoveries) anybody(rec *store.Recovery, c *recovery.Case) (verify.Subject, error) {
	in, err := recovery.IntentOf(rec)
	s := verify.Subject{Env: rec.Env, Enroll: in.Flow == enrollFlow, Directory: rec.Directory, Verification: c.Verification.ID, Action: protocol.Action(rec.Action),
		Traits: c.Directory.Traits, Language: rec.Language, Client: c.Private.Client.Address, Origin: rec.Origin, Until: rec.ExpiresAt}
	if u, err := url.Parse(rec.Origin); err == nil {
		s.RPID = u.Hostname()
	}
	return s, err
}

// usable reports whether all methods can be asked of this person and are not shut. It
// asks the verifiers outside of a transaction: they may read the store themselves.
func (r *Recoveries) usable(ctx context.Context, rec *store.Recovery, s verify.Subject, methods policy.Combination) (bool, error) {
	for _, m := range methods {
		v := r.verifiers[m]
		if v == nil || !v.Usable(ctx, s) {
			return false, nil
		}
		until, err := store.Get(ctx, r.Store, func(tx *store.Tx) (time.Time, error) {
			return r.cooling(ctx, tx, rec.Env, accountSubject(rec.Directory, rec.Account), string(m))
		})
		if err != nil || !until.IsZero() {
			return false, err
		}
	}
	return true, nil
}

// challenge opens the challenge of a method, and sends what it sends.
func (r *Recoveries) challenge(ctx context.Context, rec *store.Recovery, c *recovery.Case, row policy.MethodRow, s verify.Subject) error {
	if row.Sends {
		if ok, err := r.countSend(ctx, rec, c); err != nil {
			return err
		} else if !ok { // asked for under several addresses of the account
			return r.nothingSent(ctx, rec)
		}
	}
	openCtx, cancel := context.WithTimeout(ctx, sendCode)
	defer cancel()
	challenge, err := r.verifiers[row.Method].Open(openCtx, s)
	if err != nil {
		return r.again(ctx, rec, c, "a challenge cannot be opened", err)
	}
	if challenge.Send != nil {
		return r.send(openCtx, rec, c, row, challenge)
	}
	return r.proving(ctx, rec, c, func(tx *store.Tx) error { return r.opened(ctx, tx, c.Verification, challenge, true) })
}

// send keeps a challenge before anything leaves, so that whoever types fast is judged by
// it, and then sends.
func (r *Recoveries) send(ctx context.Context, rec *store.Recovery, c *recovery.Case, row policy.MethodRow, challenge verify.Challenge) error {
	if challenge.Masked != nil { // else those of the proof before stay, until the sender says its own
		c.Private.Masked = challenge.Masked
	}
	rec.Private = []byte(store.JSON(c.Private))
	if err := r.rows.Swap(ctx, rec, func(tx *store.Tx) error { return r.opened(ctx, tx, c.Verification, challenge, true) }); err != nil {
		return err
	}
	masked, err := challenge.Send(ctx)
	if err != nil {
		return r.again(ctx, rec, c, "a code cannot be sent", err)
	}
	c.Private.Masked = masked
	e := recovery.Event(rec, c.Private, audit.RecoveryCodeSent, map[string]any{"method": row.Method})
	e.Personal = map[string]string{"masked": strings.Join(masked, ", ")}
	sent := func(tx *store.Tx) error { return audit.Append(ctx, tx, e) }
	lease := rec.DueAt
	err = r.proving(ctx, rec, c, sent)
	if errors.Is(err, store.ErrConflict) {
		return r.overtaken(ctx, rec, c, lease, sent)
	}
	return err
}

// overtaken keeps that a code was sent where the person was faster. Who only pressed
// twice, or took the recovery to a phone, waits for that code still.
func (r *Recoveries) overtaken(ctx context.Context, rec *store.Recovery, c *recovery.Case, lease time.Time, sent func(*store.Tx) error) error {
	now, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(ctx, rec.Env, rec.ID) })
	if err != nil {
		return err
	}
	if now.State != recovery.Preparing || store.Millis(now.DueAt) != store.Millis(lease) {
		return r.Store.Tx(ctx, sent)
	}
	*rec = now
	return r.proving(ctx, rec, c, sent)
}

// proving shows the challenge as open.
func (r *Recoveries) proving(ctx context.Context, rec *store.Recovery, c *recovery.Case, fn func(tx *store.Tx) error) error {
	rec.Private, rec.DueAt = []byte(store.JSON(c.Private)), rec.ExpiresAt
	if err := recovery.Move(rec, recovery.Proving); err != nil {
		return err
	}
	return r.rows.Swap(ctx, rec, fn)
}

// openDecoy gives somebody who cannot be right a challenge like any other. What sends
// nothing is opened with a random context, after as long as an agent takes to begin.
func (r *Recoveries) openDecoy(ctx context.Context, rec *store.Recovery, c *recovery.Case) error {
	row, _ := policy.MethodByName(policy.Method(c.Verification.Shown))
	v := r.verifiers[row.Method]
	if err := r.keepPace(ctx, rec, c); err != nil {
		return err
	}
	if row.Sends || v == nil {
		return r.nothingSent(ctx, rec)
	}
	s, err := r.decoy(rec, c)
	if err != nil {
		return err
	}
	challenge, err := v.Open(ctx, s)
	if err != nil {
		r.Log.WarnContext(ctx, "a challenge cannot be opened", "recovery", rec.ID, "method", row.Method, "error", err)
		return r.nothingSent(ctx, rec)
	}
	rec.DueAt = rec.ExpiresAt
	if err := recovery.Move(rec, recovery.Proving); err != nil {
		return err
	}
	return r.rows.Swap(ctx, rec, func(tx *store.Tx) error { return r.opened(ctx, tx, c.Verification, challenge, false) })
}

var errAsk = errors.New("flow: a challenge is larger than a page takes")

// opened keeps a challenge. v is as the work behind the answer began: a person who has
// chosen another way meanwhile has another version.
func (r *Recoveries) opened(ctx context.Context, tx *store.Tx, v store.Verification, c verify.Challenge, genuine bool) error {
	if len(c.Ask) > verify.MaxAsk {
		return errAsk
	}
	row, _ := policy.MethodByName(policy.Method(v.Shown))
	if row.Form == policy.FormWait && genuine && !slices.Contains(v.Waiting, v.Shown) {
		v.Waiting = append(slices.Clone(v.Waiting), v.Shown)
		if err := tx.SaveVerification(ctx, &v); err != nil {
			return err
		}
	}
	return tx.SetChallenge(ctx, v.Env, v.ID, store.Code{Challenge: c.Text, Genuine: genuine, Ask: string(c.Ask), Case: c.Case})
}
