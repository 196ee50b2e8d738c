package verify

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/store"
)

// ErrNobody says that no verification waits for what people decided, any more or not yet.
var ErrNobody = errors.New("verify: nobody waits for this")

// A Settler is told what people decided about a method. It is the flow. ErrNobody says
// that nobody waits for it.
type Settler interface {
	Settle(ctx context.Context, env, verification, method string, v Verdict) error
}

// Addresses lists the addresses by which staff would be known to own the account of a
// subject: those that were read live, and its identifiers.
func Addresses(ctx context.Context, tx *store.Tx, s Subject) ([]string, error) {
	own := slices.Concat(s.Contacts.Primary, s.Contacts.Mail)
	a, err := tx.AccountOf(ctx, s.Env, s.Directory, s.Account)
	if errors.Is(err, store.ErrNotFound) {
		return own, nil
	}
	return append(own, a.Identifiers...), err
}
