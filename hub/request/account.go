package request

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// A BoundAccount is the wire type AccountValue.
type BoundAccount struct {
	ImmutableID string   `json:"immutable_external_id,omitempty"`
	IDs         []string `json:"ids,omitempty"`
}

// asksBound reports whether a request of the API asks for the person's account.
func asksBound(r store.Request) bool { return r.Exchange == "" && slices.Contains(r.Claims, Account) }

// bound adds the account that the organisation bound to whom the proof shows. Whoever is
// bound to several has none that could be meant. Names are not compared: a request of the
// API belongs to no directory in which somebody would have to be looked for.
func (f *found) bound(ctx context.Context, tx *store.Tx, r store.Request) error {
	if !asksBound(r) || f.Identity == "" {
		return nil
	}
	delete(f.Values, Account) // of a try of the transaction before
	id, err := tx.PersonID(ctx, r.Env, f.Identity)
	if err != nil {
		return err
	}
	known, err := tx.Person(ctx, r.Env, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !known.ErasedAt.IsZero() {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := tx.Accounts(ctx, r.Env, store.AccountFilter{Subject: Subject(r.Env, id), Count: 2})
	if len(all) == 1 {
		f.Values[Account] = BoundAccount{all[0].ImmutableID, all[0].Identifiers}
	}
	return err
}
