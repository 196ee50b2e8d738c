package flow

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Numbers of tickets by which a recovery goes on in the browser of a phone.
const (
	handoverLife  = 2 * time.Minute
	maxHandovers  = 60 // of one recovery: one each half minute for half an hour
	handoverBytes = 16 // 128 random bits
)

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
}

// HandOver makes a ticket by which another browser takes the recovery over: everything
// after it, the key and the result too, is there (T13). It is offered while proofs are
// asked for and no evidence is bound to a key; where everybody can begin with a code that
// is sent, only after the first proof, so that nobody makes tickets in another's name.
func (r *Recoveries) HandOver(ctx context.Context, env, id, session string) (Handover, error) {
	var raw [handoverBytes]byte
	_, _ = rand.Read(raw[:]) // never fails
	h := Handover{Ticket: protocol.NewSecret(base64.RawURLEncoding.EncodeToString(raw[:])), Until: r.Now().Add(handoverLife)}
	err := r.Store.Tx(ctx, func(tx *store.Tx) error {
		rec, err := owned(ctx, tx, env, id, session)
		if err != nil {
			return err
		}
		v, err := r.asked(ctx, tx, &rec)
		if err != nil {
			return err
		}
		if !mayHandOver(&rec, v) {
			return ErrStep
		}
		n, err := tx.AddHandover(ctx, env, id, hashSecret(h.Ticket.Reveal()), h.Until)
		if err == nil && n > maxHandovers {
			err = ErrTooMany
		}
		return err
	})
	return h, r.plain(ctx, err)
}

func mayHandOver(rec *store.Recovery, v store.Verification) bool {
	sends := slices.ContainsFunc(methodsOf(v.Offered), func(m policy.Method) bool {
		row, _ := policy.MethodByName(m)
		return row.Sends
	})
	return len(rec.Recipient) == 0 && (len(v.Proven) > 0 || !sends)
}

// Claim takes a recovery over with a ticket, once: of many claims one gets the session,
// and the session that made the ticket may only watch from then on. Everybody else gets
// ErrNotFound; ErrTooSoon says to try again in a moment.
func (r *Recoveries) Claim(ctx context.Context, env, ticket string, c Client) (id, session string, err error) {
	if raw, err := base64.RawURLEncoding.Strict().DecodeString(ticket); err != nil || len(raw) != handoverBytes {
		return "", "", ErrNotFound
	}
	if err := r.admitClient(ctx, c.Address); err != nil {
		return "", "", err
	}
	session = newSecret()
	err = r.Store.Tx(ctx, func(tx *store.Tx) error {
		if id, err = tx.Handover(ctx, env, hashSecret(ticket)); err != nil {
			return err
		}
		rec, err := tx.Recovery(ctx, env, id)
		if err != nil {
			return err
		}
		v, err := r.asked(ctx, tx, &rec)
		switch {
		case err != nil:
			return err
		case !mayHandOver(&rec, v):
			return ErrStep
		case rec.State == statePreparing: // somebody works behind it, for a moment
			return ErrTooSoon
		}
		err = errors.Join(tx.UseHandover(ctx, env, hashSecret(ticket), rec.Session), tx.GiveRecovery(ctx, &rec, hashSecret(session)))
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Env: env, Kind: audit.RecoveryHandedOver, Account: rec.Person, Trace: rec.ID,
			RemoteAddr: c.Address, UserAgent: cut(c.UserAgent, maxUserAgent), Detail: map[string]any{"origin": c.Origin}})
	})
	switch err = r.plain(ctx, err); {
	case errors.Is(err, ErrStep): // somebody was faster, or the recovery went on
		return "", "", ErrNotFound
	case err != nil:
		return "", "", err
	}
	return id, session, nil
}

// BegunBy says to the session of a recovery who began it.
func (r *Recoveries) BegunBy(ctx context.Context, env, id, session string) (Begun, error) {
	b, err := store.Get(ctx, r.Store, func(tx *store.Tx) (Begun, error) {
		rec, err := owned(ctx, tx, env, id, session)
		if err != nil {
			return Begun{}, err
		}
		p, err := privateOf(&rec)
		if err != nil {
			return Begun{}, err
		}
		b := Begun{Action: protocol.Action(rec.Action), UserAgent: p.Client.UserAgent, At: rec.CreatedAt}
		d, err := tx.Directory(ctx, env, rec.Directory)
		if errors.Is(err, store.ErrNotFound) {
			return b, nil
		}
		b.Directory = d.Name
		return b, err
	})
	return b, r.plain(ctx, err)
}

// Disown ends a recovery that the person who took it over did not begin, and says so in
// the log: somebody had them read a code from a screen.
func (r *Recoveries) Disown(ctx context.Context, env, id, session string) error {
	rec, err := r.change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		if !isOpen(rec.State) {
			return ErrStep
		}
		return r.stop(ctx, tx, rec, EndVoided, audit.RecoveryDisowned, "the person who took it over did not begin it")
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

// watched is what the session that gave a recovery away may see: how it stands, and
// nothing of whom it is about.
func (r *Recoveries) watched(ctx context.Context, tx *store.Tx, env, id, session string) (View, error) {
	ok, err := tx.Watches(ctx, env, id, hashSecret(session))
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
	in, err := intentOf(&rec)
	v := View{ID: id, Step: StepElsewhere, Flow: in.Flow, Language: rec.Language, ExpiresAt: rec.ExpiresAt, Action: protocol.Action(rec.Action)}
	switch step := steps[rec.State]; {
	case step == StepEnded || isOpen(rec.State) && !rec.ExpiresAt.After(r.Now()):
		v.Elsewhere = StepEnded
	case step == StepDone || step == StepFailed || step == StepUnknown || step == StepEvaluated || step == StepRefused:
		v.Elsewhere = step
	}
	return v, err
}
