package factor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/store"
)

// Disown removes, in the caller's transaction, what somebody else enrolled for an owner:
// in the recovery that o names, whether it counts already or not, whatever was enrolled
// with that later, and all that waits (T17). The caller wakes the notices.
func (f *Factors) Disown(ctx context.Context, tx *store.Tx, o Owner) error {
	all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
	if err != nil {
		return err
	}
	gone := offspring(all, func(row store.Factor) bool {
		return !row.Counts(tx.Now()) || row.Recovery == o.Recovery && o.Recovery != ""
	})
	for _, row := range all { // what counts here may wait at an agent, where it came in later
		if !row.AgentAt.After(tx.Now()) || slices.ContainsFunc(gone, func(g store.Factor) bool { return g.ID == row.ID }) {
			continue
		}
		if err := errors.Join(removeAtAgents(ctx, tx, row), tx.FactorAtAgent(ctx, row.Env, row.ID, time.Time{})); err != nil {
			return err
		}
	}
	return f.remove(ctx, tx, o, Disowned, gone...)
}

// TakeBack removes, in the caller's transaction, what the recovery that o names enrolled by
// a method whose proof was taken back, and whatever was enrolled with that later, whether it
// counts already or not (T07, T17). The caller wakes the notices.
func (f *Factors) TakeBack(ctx context.Context, tx *store.Tx, o Owner, method string) error {
	all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
	if err != nil || o.Recovery == "" {
		return err
	}
	gone := offspring(all, func(row store.Factor) bool {
		return row.Recovery == o.Recovery && slices.Contains(row.EnrolledBy, method)
	})
	return f.remove(ctx, tx, o, Removed, gone...)
}

// NotMine removes one of the owner's factors with all that the same recovery enrolled,
// and whatever was enrolled with any of it later: what else somebody left behind who
// came so far. What the owner enrolled in the recovery that is open now stays.
func (f *Factors) NotMine(ctx context.Context, o Owner, id string) error {
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		row, err := own(ctx, tx, o, id)
		if err != nil {
			return err
		}
		all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
		if err != nil {
			return err
		}
		gone := offspring(all, func(r store.Factor) bool {
			return r.ID == row.ID || r.Recovery == row.Recovery && row.Recovery != "" && row.Recovery != o.Recovery
		})
		gone = slices.DeleteFunc(gone, func(r store.Factor) bool { return r.Recovery == o.Recovery && r.ID != row.ID })
		return f.remove(ctx, tx, o, Disowned, gone...)
	})
	if err == nil {
		f.cfg.Notices.Wake()
	}
	return err
}

// offspring returns the factors that is says, and those that were enrolled with one of
// them, at whatever distance.
func offspring(all []store.Factor, is func(store.Factor) bool) []store.Factor {
	var gone []store.Factor
	taken := map[string]bool{}
	for grown := true; grown; {
		grown = false
		for _, row := range all {
			led := slices.ContainsFunc(row.Parents, func(id string) bool { return taken[id] })
			if !taken[row.ID] && (is(row) || led) {
				gone, taken[row.ID], grown = append(gone, row), true, true
			}
		}
	}
	return gone
}
