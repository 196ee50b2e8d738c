package request

import (
	"context"
	"encoding/json"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Share gives what was proven to the organisation. Of two who would be the last use of
// a request one gets ErrStep.
func (q *Requests) Share(ctx context.Context, env, id, session string, by Client) error {
	u, f, err := q.shareable(ctx, env, id, session)
	if err != nil {
		return err
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		r, err := tx.Request(ctx, env, u.Request)
		if err != nil {
			return err
		}
		if !q.live(u, r) {
			return ErrStep
		}
		if u.Person, err = tx.PersonID(ctx, env, f.Identity); err != nil {
			return err
		}
		u.State, u.Private = useShared, nil
		names, err := q.keep(ctx, tx, r, u.Person, f, by)
		if err != nil {
			return err
		}
		r.State, r.Progress, r.Person, r.Source, r.Uses = Shared, consentGiven, u.Person, source(r), r.Uses+1
		if err := tx.SaveRequest(ctx, &r); err != nil {
			return err
		}
		if err := audit.Append(ctx, tx, q.event(r, u, audit.RequestAccepted, by, map[string]any{"claims": names})); err != nil {
			return err
		}
		if err := q.tell(ctx, tx, r, eventAccepted); err != nil {
			return err
		}
		return q.shared(ctx, tx, r, u.Person)
	})
}

// shareable returns a use whose person has proven and given all that is asked for, and
// what that is.
func (q *Requests) shareable(ctx context.Context, env, id, session string) (u store.RequestUse, f found, err error) {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return u, f, err
	}
	if u.State != useFound || r.Exchange != "" {
		return u, f, ErrStep
	}
	if f, err = foundIn(u); err != nil {
		return u, f, err
	}
	if len(f.missing(r)) > 0 {
		return u, f, ErrStep
	}
	if f.Identity == "" { // nothing that names anybody was asked for
		f.Identity = once()
	}
	f.selfie, err = q.selfieOf(ctx, u)
	return u, f, err
}

// source is the RequestVerificationSource of what is shared: "" where no method proved
// anything, and only addresses were confirmed.
func source(r store.Request) string {
	if needsProof(r) {
		return "full_idv"
	}
	return ""
}

// keep writes down what a person shares, and that they consented to it.
func (q *Requests) keep(ctx context.Context, tx *store.Tx, r store.Request, person string, f found, by Client) ([]string, error) {
	var until time.Time
	if r.ShareLife > 0 {
		until = q.Now().Add(r.ShareLife)
	}
	if err := tx.AddPerson(ctx, r.Env, person); err != nil {
		return nil, err
	}
	if err := q.keepSelfie(ctx, tx, r.Env, person, f); err != nil {
		return nil, err
	}
	names := []string{}
	for _, n := range r.Claims {
		v, ok := f.Values[n]
		if !ok {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if err := tx.PutProperty(ctx, r.Env, person, store.Property{Claim: n, Value: b, ExpiresAt: until}); err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, tx.AddShare(ctx, r.Env, store.Share{Request: r.ID, Person: person, Claims: names, ExpiresAt: until, Client: agentText(by.UserAgent)})
}

// Reject is the person's no, before or after the proof. What was proven is forgotten.
func (q *Requests) Reject(ctx context.Context, env, id, session string, by Client) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if r.Exchange != "" {
		return ErrStep // whoever waits is told, see FinishFor
	}
	if u.State == useShared || u.State == useRejected || u.State == useRevoked || u.State == useRefused || u.State == useReturned {
		return ErrStep
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		r, err := tx.Request(ctx, env, u.Request)
		if err != nil {
			return err
		}
		if err := q.abort(ctx, tx, r, u); err != nil {
			return err
		}
		u.State, u.Private = useRejected, nil
		if err := tx.CloseCode(ctx, env, u.ID); err != nil {
			return err
		}
		if r.MaxUses == 1 && r.State == InProgress { // a link for several stays for the others
			r.State = Cancelled
			if err := tx.SaveRequest(ctx, &r); err != nil {
				return err
			}
		}
		if err := audit.Append(ctx, tx, q.event(r, u, audit.RequestRejected, by, nil)); err != nil {
			return err
		}
		return q.tell(ctx, tx, r, eventCanceled)
	})
}

// TakeBack revokes what the session shared.
func (q *Requests) TakeBack(ctx context.Context, env, id, session string, by Client) error {
	var u store.RequestUse
	var r store.Request
	err := q.Store.Read(ctx, func(tx *store.Tx) (err error) {
		u, r, err = own(ctx, tx, env, id, session)
		return err
	})
	if err != nil {
		return err
	}
	if u.State != useShared {
		return ErrStep
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		u.State = useRevoked
		if err := audit.Append(ctx, tx, q.event(r, u, audit.SharingRevoked, by, map[string]any{"subject": Subject(env, u.Person), "claims": r.Claims})); err != nil {
			return err
		}
		return q.Revoke(ctx, tx, env, u.Person, r.Claims, true)
	})
}
