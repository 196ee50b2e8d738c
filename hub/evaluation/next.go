package evaluation

import (
	"context"
	"strconv"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// next reads the people of the next page, where the one after begins ("" when there is
// none), and how many of the scope were passed.
func (r *Runs) next(ctx context.Context, tx *store.Tx, p place, e store.Evaluation, s Scope) (people []person, after string, seen int, err error) {
	var accounts []store.Account
	if len(s.Accounts) > 0 {
		accounts, after, seen, err = named(ctx, tx, e, s)
	} else {
		accounts, after, seen, err = listed(ctx, tx, e, s)
	}
	if err != nil {
		return nil, "", 0, err
	}
	for _, a := range accounts {
		who, err := r.read(ctx, tx, p, a)
		if err != nil {
			return nil, "", 0, err
		}
		people = append(people, who)
	}
	return people, after, seen, nil
}

// listed takes accounts in the order of the store.
func listed(ctx context.Context, tx *store.Tx, e store.Evaluation, s Scope) (accounts []store.Account, after string, seen int, err error) {
	all, err := tx.AccountsAfter(ctx, e.Env, e.Directory, s.stored(), e.Place, protocol.MaxEvaluated)
	for _, a := range all {
		accounts = append(accounts, a.Account)
	}
	if len(all) == protocol.MaxEvaluated {
		after = all[len(all)-1].Place
	}
	return accounts, after, len(all), err
}

// named takes the accounts that a scope names, in its order. What names none, or several
// in this directory, is passed over: nobody could recover by it either.
func named(ctx context.Context, tx *store.Tx, e store.Evaluation, s Scope) (accounts []store.Account, after string, seen int, err error) {
	from, _ := strconv.Atoi(e.Place) // a place that is none is the beginning
	from = min(max(from, 0), len(s.Accounts))
	to := min(from+protocol.MaxEvaluated, len(s.Accounts))
	known := map[string]bool{}
	for _, identifier := range s.Accounts[from:to] {
		found, err := tx.FindAccounts(ctx, e.Env, identifier)
		if err != nil {
			return nil, "", 0, err
		}
		for _, a := range found {
			if a.Directory == e.Directory && !known[a.ID] && len(accounts) < protocol.MaxEvaluated {
				known[a.ID] = true
				accounts = append(accounts, a)
			}
		}
	}
	if to < len(s.Accounts) {
		after = strconv.Itoa(to)
	}
	return accounts, after, to - from, nil
}
