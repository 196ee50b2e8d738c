package flow

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Numbers of tickets by which a recovery goes on in the browser of a phone.
const (
	handoverLife  = 2 * time.Minute
	maxHandovers  = 60 // of one recovery: one each half minute for half an hour
	handoverBytes = 16 // 128 random bits
)

// handoverKeyPurpose is the purpose for which the store derives the key of the codes that
// phones show.
const handoverKeyPurpose = "postern/flow/handover/v1"

// A Handover is a ticket that another browser reads from a screen.
type Handover struct {
	Ticket protocol.Secret // for the fragment of an address, which reaches no server
	Until  time.Time
}

// A Begun says who began a recovery, to whoever takes it over.
type Begun struct {
	Directory string // its name; "" before one was chosen
	Action    protocol.Action
	UserAgent string
	At        time.Time
	Address   string // masked, as it was typed; only after the first proof (T30)
	Code      string // to be typed in the browser that began; "" once it was
}

// HandOver makes a ticket by which another browser takes the recovery over: everything
// after it, the key and the result too, is there (T13). It is offered while no evidence
// is bound to this browser's key; where everybody can begin with a code that is sent,
// only after the first proof, so that nobody makes tickets in another's name.
func (r *Recoveries) HandOver(ctx context.Context, env, id, session string) (Handover, error) {
	var raw [handoverBytes]byte
	_, _ = rand.Read(raw[:]) // never fails
	h := Handover{Ticket: protocol.NewSecret(base64.RawURLEncoding.EncodeToString(raw[:])), Until: r.Now().Add(handoverLife)}
	err := r.Store.Tx(ctx, func(tx *store.Tx) error {
		rec, err := recovery.Owned(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		if _, err := r.givable(ctx, tx, &rec); err != nil {
			return err
		}
		n, err := tx.AddHandover(ctx, env, id, recovery.HashSecret(h.Ticket.Reveal()), h.Until)
		if err == nil && n > maxHandovers {
			err = recovery.ErrTooMany
		}
		return err
	})
	return h, recovery.Plain(err)
}

// givable returns the verification of a recovery that another browser may take over.
func (r *Recoveries) givable(ctx context.Context, tx *store.Tx, rec *store.Recovery) (store.Verification, error) {
	if !rec.ExpiresAt.After(r.Now()) || steps[rec.State] != StepProve && rec.State != recovery.Ready {
		return store.Verification{}, recovery.ErrStep
	}
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err == nil && !mayHandOver(rec, v) {
		err = recovery.ErrStep
	}
	return v, err
}

func mayHandOver(rec *store.Recovery, v store.Verification) bool {
	_, own := protocol.OwnAction(protocol.Action(rec.Action))
	switch {
	case protocol.Action(rec.Action) == protocol.ActionSignIn:
		return false // whoever asked waits for this browser
	case slices.ContainsFunc(recovery.MethodsNamed(slices.Concat(v.Proven, v.Waiting)), isBound):
		return false // what was proven is this browser's
	case rec.State == recovery.Ready:
		return !own && rec.Problem == "" && rec.Operation == ""
	}
	return len(v.Proven) > 0 || !slices.ContainsFunc(recovery.MethodsNamed(v.Offered), isSent)
}

func isBound(m policy.Method) bool {
	row, _ := policy.MethodByName(m)
	return row.Bound
}

func isSent(m policy.Method) bool {
	row, _ := policy.MethodByName(m)
	return row.Sends
}

// Claim asks with a ticket to take a recovery over: of many claims one gets a session,
// which may look (BegunBy), end it (Disown), and waits until the code that it is shown is
// typed in the browser that showed the ticket (Confirm). Everybody else gets ErrNotFound;
// ErrTooSoon says to try again in a moment.
func (r *Recoveries) Claim(ctx context.Context, env, ticket string, c recovery.Client) (id, session string, err error) {
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(ticket); err != nil || len(raw) != handoverBytes {
		return "", "", recovery.ErrNotFound
	}
	if err := r.admitClient(ctx, c.Address); err != nil {
		return "", "", err
	}
	session = recovery.NewSecret()
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		if id, err = tx.Handover(ctx, env, recovery.HashSecret(ticket)); err != nil {
			return err
		}
		rec, err := tx.Recovery(ctx, env, id)
		if err != nil {
			return err
		}
		return r.claim(ctx, tx, &rec, store.Claim{Hash: recovery.HashSecret(ticket), Session: recovery.HashSecret(session)}, c)
	})
	switch err = recovery.Plain(err); {
	case errors.Is(err, recovery.ErrStep): // somebody was faster, or the recovery went on
		return "", "", recovery.ErrNotFound
	case err != nil:
		return "", "", err
	}
	return id, session, nil
}

// claim swaps the recovery too: of two tickets one is used.
func (r *Recoveries) claim(ctx context.Context, tx *store.Tx, rec *store.Recovery, claim store.Claim, c recovery.Client) error {
	if _, err := r.givable(ctx, tx, rec); err != nil {
		return err
	}
	if rec.State == recovery.Preparing { // somebody works behind it, for a moment
		return recovery.ErrTooSoon
	}
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	claim.Far = networkOf(p.Client.Address) != networkOf(c.Address)
	if err := errors.Join(tx.UseHandover(ctx, rec.Env, claim), tx.SaveRecovery(ctx, rec)); err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Env: rec.Env, Kind: audit.RecoveryHandedOver, Account: rec.Person, Trace: rec.ID,
		RemoteAddr: c.Address, UserAgent: recovery.Cut(c.UserAgent, maxUserAgent),
		Detail: map[string]any{"origin": c.Origin, "step": "read", "other_network": claim.Far}})
}

// claims returns the claim of a session that waits for its code.
func claims(ctx context.Context, tx *store.Tx, env, id, session string) (store.Claim, error) {
	c, err := tx.Claim(ctx, env, id)
	if err == nil && subtle.ConstantTimeCompare([]byte(c.Session), []byte(recovery.HashSecret(session))) != 1 {
		err = store.ErrNotFound
	}
	return c, err
}

// BegunBy says to the session that takes a recovery over who began it.
func (r *Recoveries) BegunBy(ctx context.Context, env, id, session string) (Begun, error) {
	b, err := store.Get(ctx, r.Store, func(tx *store.Tx) (b Begun, err error) {
		rec, err := recovery.Owned(ctx, tx, env, id, session)
		if errors.Is(err, store.ErrNotFound) {
			rec, b.Code, err = r.waitsForCode(ctx, tx, env, id, session)
		}
		if err != nil {
			return b, err
		}
		return b, r.begunBy(ctx, tx, &rec, &b)
	})
	return b, recovery.Plain(err)
}

func (r *Recoveries) waitsForCode(ctx context.Context, tx *store.Tx, env, id, session string) (rec store.Recovery, code string, err error) {
	c, err := claims(ctx, tx, env, id, session)
	if err != nil {
		return rec, "", err
	}
	rec, err = tx.Recovery(ctx, env, id)
	if err == nil && (!recovery.IsOpen(rec.State) || !rec.ExpiresAt.After(r.Now())) {
		err = store.ErrNotFound
	}
	return rec, r.handoverCodes(c.Hash)[0], err
}

func (r *Recoveries) begunBy(ctx context.Context, tx *store.Tx, rec *store.Recovery, b *Begun) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	b.Action, b.UserAgent, b.At = protocol.Action(rec.Action), p.Client.UserAgent, rec.CreatedAt
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return err
	}
	if len(v.Proven) > 0 {
		b.Address = maskAddress(p.Address)
	}
	d, err := tx.Directory(ctx, rec.Env, rec.Directory)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	b.Directory = d.Name
	return err
}

// watched is what the session that gave a recovery away may see: how it stands, and
// nothing of whom it is about.
func (r *Recoveries) watched(ctx context.Context, tx *store.Tx, env, id, session string) (View, error) {
	if _, err := claims(ctx, tx, env, id, session); err == nil {
		return r.reading(ctx, tx, env, id)
	} else if !errors.Is(err, store.ErrNotFound) {
		return View{}, err
	}
	if refused, err := tx.Claimed(ctx, env, id, recovery.HashSecret(session)); err != nil {
		return View{}, err
	} else if refused {
		return View{ID: id, Step: StepEnded, Ended: recovery.EndRefused}, nil
	}
	ok, err := tx.Watches(ctx, env, id, recovery.HashSecret(session))
	if err == nil && !ok {
		err = store.ErrNotFound
	}
	if err != nil {
		return View{}, err
	}
	rec, err := tx.Recovery(ctx, env, id)
	if err != nil {
		return View{}, err
	}
	in, err := recovery.IntentOf(&rec)
	v := View{ID: id, Step: StepElsewhere, Flow: in.Flow, Language: rec.Language, ExpiresAt: rec.ExpiresAt, Action: protocol.Action(rec.Action)}
	switch step := steps[rec.State]; {
	case step == StepEnded || recovery.IsOpen(rec.State) && !rec.ExpiresAt.After(r.Now()):
		v.Elsewhere = StepEnded
	case step == StepDone || step == StepFailed || step == StepUnknown || step == StepEvaluated || step == StepRefused:
		v.Elsewhere = step
	}
	return v, err
}
