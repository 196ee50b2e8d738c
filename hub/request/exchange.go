package request

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
)

// exchangeLife is how long somebody may take whom another identity provider sent.
const exchangeLife = 15 * time.Minute

// An Opening is a proof that somebody else waits for. Where it keeps nothing, it is shown
// to nobody here, and nothing of it stays.
type Opening struct {
	Env, Exchange, Origin, Label string
	Use                          string   // its id, of NewUse: whoever waits knows it before it is there
	Claims                       []string // that the proof must bear
	Scopes                       []string // as they were asked for
	Template                     string   // whose words the pages bear; "": none
	Keeps                        bool     // what is shared is the organisation's as well
	Domains                      []string // of which a mail address must be; nil: any
	Selfie                       bool     // only a proof with a new selfie counts
	Account                      string   // row id of the account that is meant, with whose photo people compare the person; "": none
	ShareLife                    time.Duration
	ExpiresAt                    time.Time // zero: after 15 minutes
	Language                     string
	By                           Client
}

// A Proof is what somebody proved for whoever waits.
type Proof struct {
	Given, Family, BirthDate string         // as far as it was proven
	Values                   map[string]any // of the claims that were asked for
	Person                   string         // how the environment calls them
	Method                   policy.Method
	Case                     string // that has a selfie which people compared with the document; "": none has

	scan   string // the case that has the selfie
	selfie []byte // of it, where it was read before the transaction
}

// OpenFor begins a proof for whoever waits for it, in the browser that was sent. Whoever
// sent it counted how often: a company may sign in from one address.
func (q *Requests) OpenFor(ctx context.Context, o Opening) (session string, err error) {
	if o.ExpiresAt.IsZero() {
		o.ExpiresAt = q.Now().Add(exchangeLife)
	}
	r, err := store.Change(ctx, q.Store, func(tx *store.Tx) (store.Request, error) {
		return q.Create(ctx, tx, Order{Env: o.Env, Origin: o.Origin, Label: o.Label, Template: o.Template, Scopes: o.Scopes, Claims: o.Claims, MaxUses: 1,
			ShareLife: o.ShareLife, Exchange: o.Exchange, Keeps: o.Keeps, Account: o.Account, Domains: o.Domains, Selfie: o.Selfie, ExpiresAt: o.ExpiresAt})
	})
	if err != nil {
		return "", err
	}
	return q.open(ctx, o.Env, r.Ticket, o.Use, o.Language, o.By)
}

// ProofFor returns what a session has proven for an exchange, and would give. ErrStep
// says that there is nothing.
func (q *Requests) ProofFor(ctx context.Context, env, id, session string) (exchange string, p Proof, err error) {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return "", p, err
	}
	if r.Exchange == "" || u.State != useFound {
		return "", p, ErrStep
	}
	if f, err := foundIn(u); err != nil || len(f.missing(r)) > 0 {
		return "", p, errors.Join(err, ErrStep)
	}
	err = q.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		p, err = q.proof(ctx, tx, u)
		return err
	})
	return r.Exchange, p, err
}

func (q *Requests) proof(ctx context.Context, tx *store.Tx, u store.RequestUse) (p Proof, err error) {
	f, err := foundIn(u)
	if err != nil {
		return p, err
	}
	p = Proof{Given: asText(f.Values["given_name"]), Family: asText(f.Values["family_name"]), BirthDate: asText(f.Values["birth_date"]), Values: f.Values, Method: policy.Method(u.Method), scan: f.Case, Case: f.Face}
	if f.Holder != nil {
		p.Given, p.Family, p.BirthDate = f.Holder.Given, f.Holder.Family, f.Holder.BirthDate
	}
	p.Person, err = tx.PersonID(ctx, u.Env, f.Identity)
	return p, err
}

// FinishFor ends the proof of a session, once: with what was proven if the person gives
// it, otherwise with nil. then does the part of whoever waits in the same transaction.
// What was proven is forgotten, or kept as what they shared. ErrStep says that there is
// nothing to end.
func (q *Requests) FinishFor(ctx context.Context, env, id, session string, give bool, then func(tx *store.Tx, exchange string, proven *Proof) error) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if r.Exchange == "" || give && u.State != useFound {
		return ErrStep
	}
	if give {
		if f, err := foundIn(u); err != nil || len(f.missing(r)) > 0 {
			return errors.Join(err, ErrStep)
		}
	}
	var selfie []byte
	if give && r.Keeps {
		if selfie, err = q.selfieOf(ctx, u); err != nil {
			return err
		}
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		r, err := tx.Request(ctx, env, u.Request)
		if err != nil {
			return err
		}
		if !q.live(u, r) {
			return ErrStep
		}
		var proven *Proof
		if give {
			p, err := q.proof(ctx, tx, u)
			if err != nil {
				return err
			}
			p.selfie = selfie
			proven = &p
		}
		if err := q.returned(ctx, tx, &u, r, proven); err != nil {
			return err
		}
		return then(tx, r.Exchange, proven)
	})
}

// StopFor ends a proof, in the transaction of whoever waits for it no more; nothing of it
// stays. ErrStep says that it went on meanwhile.
func (q *Requests) StopFor(ctx context.Context, tx *store.Tx, env, id string) error {
	u, err := tx.RequestUse(ctx, env, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is just being begun: nobody waits for it then, see FinishFor
	}
	if err != nil {
		return err
	}
	r, err := tx.Request(ctx, env, u.Request)
	if err != nil {
		return err
	}
	if r.Exchange == "" || !q.live(u, r) {
		return nil // it is over already
	}
	if err = q.returned(ctx, tx, &u, r, nil); err == nil {
		err = tx.SaveRequestUse(ctx, &u)
	}
	if errors.Is(err, store.ErrConflict) {
		err = ErrStep
	}
	return err
}

// WaitsFor reports whether people look at what was handed in.
func (q *Requests) WaitsFor(ctx context.Context, tx *store.Tx, env, id string) (bool, error) {
	u, err := tx.RequestUse(ctx, env, id)
	if errors.Is(err, store.ErrNotFound) { // it is just being begun
		err = nil
	}
	return u.State == useWaiting, err
}

// returned ends request and use.
func (q *Requests) returned(ctx context.Context, tx *store.Tx, u *store.RequestUse, r store.Request, proven *Proof) (err error) {
	kind, event := audit.RequestRejected, eventCanceled
	u.State, u.Private, r.State = useReturned, nil, Cancelled
	if proven != nil {
		kind, event, r.State, r.Uses = audit.RequestAccepted, eventAccepted, Shared, r.Uses+1
	}
	kept := proven != nil && r.Keeps
	if kept {
		u.Person, r.Person, r.Progress, r.Source = proven.Person, proven.Person, consentGiven, "full_idv"
		if _, err = q.keep(ctx, tx, r, u.Person, found{Values: proven.Values, Case: proven.scan, selfie: proven.selfie}, Client{}); err != nil {
			return err
		}
	}
	if err := tx.CloseCode(ctx, u.Env, u.ID); err != nil {
		return err
	}
	if err := tx.SaveRequest(ctx, &r); err != nil {
		return err
	}
	if err := audit.Append(ctx, tx, q.event(r, *u, kind, Client{}, map[string]any{"exchange": r.Exchange})); err != nil {
		return err
	}
	if err := q.tell(ctx, tx, r, event); err != nil || !kept {
		return err
	}
	return q.shared(ctx, tx, r, u.Person)
}

// CodeIssued and TokenIssued tell that whoever waited for a use was given a code for it,
// and redeemed it, in the transaction in which that happened.
func (q *Requests) CodeIssued(ctx context.Context, tx *store.Tx, env, use string) error {
	return q.issued(ctx, tx, env, use, eventCodeIssued)
}

// TokenIssued is the second of them.
func (q *Requests) TokenIssued(ctx context.Context, tx *store.Tx, env, use string) error {
	return q.issued(ctx, tx, env, use, eventTokenIssued)
}

func (q *Requests) issued(ctx context.Context, tx *store.Tx, env, use, event string) error {
	u, r, err := remembered(ctx, tx, env, use)
	if err != nil || u.ID == "" {
		return err
	}
	return q.tell(ctx, tx, r, event)
}

// remembered returns a use with its request; a use without an id where it was forgotten
// meanwhile.
func remembered(ctx context.Context, tx *store.Tx, env, use string) (u store.RequestUse, r store.Request, err error) {
	u, err = tx.RequestUse(ctx, env, use)
	if errors.Is(err, store.ErrNotFound) {
		return store.RequestUse{}, r, nil
	}
	if err == nil {
		r, err = tx.Request(ctx, env, u.Request)
	}
	return u, r, err
}
