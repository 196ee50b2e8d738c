package request

import (
	"context"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// exchangeLife is how long somebody may take whom another identity provider sent.
const exchangeLife = 15 * time.Minute

// An Opening is a proof that another identity provider waits for. It is shown to nobody
// here, and nothing of it is kept.
type Opening struct {
	Env, Exchange, Origin, Label string
	Claims                       []string // that the proof must bear
	Language                     string
	By                           Client
}

// OpenFor begins a proof for whoever waits for it, in the browser that was sent.
func (q *Requests) OpenFor(ctx context.Context, o Opening) (id, session string, err error) {
	r, err := store.Change(ctx, q.Store, func(tx *store.Tx) (store.Request, error) {
		return q.Create(ctx, tx, Order{Env: o.Env, Origin: o.Origin, Label: o.Label, Claims: o.Claims, MaxUses: 1, Exchange: o.Exchange, ExpiresAt: q.Now().Add(exchangeLife)})
	})
	if err != nil {
		return "", "", err
	}
	return q.Open(ctx, o.Env, r.Ticket, o.Language, o.By)
}

// FinishFor ends the proof of a session, once: with what was proven if the person gives
// it, otherwise with nil. then does the part of whoever waits in the same transaction.
// What was proven is forgotten. ErrStep says that there is nothing to end.
func (q *Requests) FinishFor(ctx context.Context, env, id, session string, give bool, then func(tx *store.Tx, exchange string, proven *evidence.Claims) error) error {
	u, r, err := q.read(ctx, env, id, session)
	if err != nil {
		return err
	}
	if r.Exchange == "" || give && u.State != useFound {
		return ErrStep
	}
	var proven *evidence.Claims
	if give {
		f, err := foundIn(u)
		if err != nil {
			return err
		}
		proven = &evidence.Claims{Given: asText(f.Values["given_name"]), Family: asText(f.Values["family_name"]), BirthDate: asText(f.Values["birth_date"])}
	}
	return q.step(ctx, &u, func(tx *store.Tx) error {
		r, err := tx.Request(ctx, env, u.Request)
		if err != nil {
			return err
		}
		if !q.live(u, r) {
			return ErrStep
		}
		if err := q.returned(ctx, tx, &u, r, give); err != nil {
			return err
		}
		return then(tx, r.Exchange, proven)
	})
}

// returned ends request and use, and forgets what was proven.
func (q *Requests) returned(ctx context.Context, tx *store.Tx, u *store.RequestUse, r store.Request, give bool) error {
	kind, event := audit.RequestRejected, eventCanceled
	u.State, u.Private, r.State = useReturned, nil, Cancelled
	if give {
		kind, event, r.State, r.Uses = audit.RequestAccepted, eventAccepted, Shared, r.Uses+1
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
	return q.tell(ctx, tx, r, event)
}
