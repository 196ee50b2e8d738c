package factor

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/savedcode"
)

// sheet is how many codes stand on one.
const sheet = 6

// NewCodes makes a sheet of codes in place of the one that the owner has. They are shown
// now and never again.
func (f *Factors) NewCodes(ctx context.Context, o Owner) ([]string, error) {
	row := store.Factor{Env: o.Env, ID: store.NewID(), Directory: o.Directory, Account: o.Account, Kind: SavedCode, EnrolledBy: o.Proven, Roots: o.Roots, Recovery: o.Recovery, Parents: o.Factors}
	codes := make([]string, sheet)
	for i := range codes {
		codes[i] = savedcode.New()
	}
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := f.dropSheets(ctx, tx, o); err != nil {
			return err
		}
		if err := tx.AddFactor(ctx, &row); err != nil {
			return err
		}
		for _, c := range codes {
			if err := tx.AddSavedCode(ctx, o.Env, row.ID, savedcode.Hash(c)); err != nil {
				return err
			}
		}
		return f.confirmed(ctx, tx, o, row)
	})
	if err != nil {
		return nil, err
	}
	f.cfg.Notices.Wake()
	return codes, nil
}

// dropSheets removes the sheets that the owner has: one that was lost must not go on
// counting.
func (f *Factors) dropSheets(ctx context.Context, tx *store.Tx, o Owner) error {
	all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
	for _, row := range all {
		if row.Kind == SavedCode {
			err = errors.Join(err, tx.RemoveFactor(ctx, o.Env, row.ID))
		}
	}
	return err
}

// Replacement gives a new code for one that was used in the owner's verification, once.
// "" when none was, or it was replaced already. It counts at once: it stands in the
// place of a code that did (NIST SP 800-63B-4, section 4.2.1.1).
func (f *Factors) Replacement(ctx context.Context, o Owner) (string, error) {
	code := savedcode.New()
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		used, err := tx.UsedCodes(ctx, o.Env, o.Verification)
		if err != nil {
			return err
		}
		if len(used) == 0 {
			return store.ErrConflict
		}
		if _, err := own(ctx, tx, o, used[0].Factor); err != nil {
			return err
		}
		return tx.ReplaceSavedCode(ctx, o.Env, used[0].ID, o.Verification, savedcode.Hash(code))
	})
	if errors.Is(err, store.ErrConflict) {
		return "", nil
	}
	return code, err
}
