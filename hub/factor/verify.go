package factor

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/hub/verify/savedcode"
	"github.com/postern-id/postern/hub/verify/totp"
	"github.com/postern-id/postern/protocol"
)

// counting returns the subject's factors of a kind that count now for what is asked: not
// waiting any more, and enrolled by evidence that would have opened it (T17). live are the
// groups that only an agent knows: not every directory lists accounts with theirs.
func (f *Factors) counting(ctx context.Context, tx *store.Tx, env, directory, account string, live []policy.Group, action protocol.Action, kind string) ([]store.Factor, error) {
	all, err := tx.Factors(ctx, env, directory, account)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	methods, groups, err := f.cfg.Rules(ctx, tx, env, directory, account)
	if err != nil {
		return nil, err
	}
	groups = slices.Concat(groups, live)
	return slices.DeleteFunc(all, func(row store.Factor) bool {
		return row.Kind != kind || !row.Counts(tx.Now()) || !methods.Enough(action, groups, policy.RootsNamed(row.Roots))
	}), nil
}

func (f *Factors) ofSubject(ctx context.Context, tx *store.Tx, s verify.Subject, kind string) ([]store.Factor, error) {
	return f.counting(ctx, tx, s.Env, s.Directory, s.Account, s.Groups, s.Action, kind)
}

// Passkeys implements passkey.Keys.
func (f *Factors) Passkeys(ctx context.Context, s verify.Subject) ([]passkey.Key, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) ([]passkey.Key, error) {
		rows, err := f.ofSubject(ctx, tx, s, Passkey)
		var keys []passkey.Key
		for _, row := range rows {
			c, err := credentialOf(row)
			if err != nil {
				return nil, err
			}
			if c.RPID == s.RPID {
				keys = append(keys, passkey.Key{Factor: row.ID, Credential: c, Roots: policy.RootsNamed(row.Roots)})
			}
		}
		return keys, err
	})
}

// Used implements passkey.Keys.
func (f *Factors) Used(ctx context.Context, s verify.Subject, id string) error {
	return f.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.FactorUsed(ctx, s.Env, id) })
}

// Seeds implements totp.Seeds.
func (f *Factors) Seeds(ctx context.Context, s verify.Subject) ([]totp.Seed, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) ([]totp.Seed, error) {
		rows, err := f.ofSubject(ctx, tx, s, TOTP)
		var seeds []totp.Seed
		for _, row := range rows {
			seeds = append(seeds, totp.Seed{Factor: row.ID, Secret: string(row.Secret), Last: row.LastStep, Roots: policy.RootsNamed(row.Roots)})
		}
		return seeds, err
	})
}

// UseStep implements totp.Seeds.
func (f *Factors) UseStep(ctx context.Context, s verify.Subject, id string, step int64) (bool, error) {
	return once(f.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return tx.UseStep(ctx, s.Env, id, step) }))
}

// once turns a compare-and-set into whether it was this one.
func once(err error) (bool, error) {
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// SavedCodes implements savedcode.Sheets.
func (f *Factors) SavedCodes(ctx context.Context, s verify.Subject) ([]savedcode.Code, error) {
	return store.Get(ctx, f.cfg.Store, func(tx *store.Tx) ([]savedcode.Code, error) {
		rows, err := f.ofSubject(ctx, tx, s, SavedCode)
		var list []savedcode.Code
		for _, row := range rows {
			codes, err := tx.SavedCodes(ctx, s.Env, row.ID)
			if err != nil {
				return nil, err
			}
			for _, c := range codes {
				if !c.Used {
					list = append(list, savedcode.Code{ID: c.ID, Hash: c.Hash, Factor: row.ID, Roots: policy.RootsNamed(row.Roots)})
				}
			}
		}
		return list, err
	})
}

// UseCode implements savedcode.Sheets: it takes the code and tells its owner.
func (f *Factors) UseCode(ctx context.Context, s verify.Subject, id string) (bool, error) {
	used, err := once(f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.UseSavedCode(ctx, s.Env, id, s.Verification); err != nil {
			return err
		}
		o := Owner{Env: s.Env, Directory: s.Directory, Account: s.Account, Person: s.Person, Name: s.Name, Recovery: hubPart(s.Recovery),
			Verification: s.Verification, Origin: s.Origin, Language: s.Language, Contacts: s.Contacts}
		to, err := f.addresses(ctx, tx, o)
		if err != nil {
			return err
		}
		codes, err := tx.UsedCodes(ctx, s.Env, s.Verification)
		if err != nil || len(codes) == 0 {
			return err
		}
		row, err := own(ctx, tx, o, codes[0].Factor)
		if err != nil {
			return err
		}
		return errors.Join(tx.FactorUsed(ctx, s.Env, row.ID), f.tell(ctx, tx, o, to, row, Used))
	}))
	if used {
		f.cfg.Notices.Wake()
	}
	return used, err
}

// hubPart is the id by which the hub knows a recovery: the half of the joined id that
// it made itself.
func hubPart(joined string) string {
	raw, err := decode(joined)
	if err != nil || len(raw) < protocol.RandomPart {
		return ""
	}
	return encode(raw[:protocol.RandomPart])
}

// Addresses are recovery addresses of one kind that count.
type Addresses struct {
	To      []string
	Factors []string     // ids
	Roots   policy.Roots // what a code that went to all of them proves; nil where there is none
}

// Addresses returns the recovery addresses of an account that count now for an action:
// codes may be sent there. groups are those of which an agent told, besides the stored ones.
func (f *Factors) Addresses(ctx context.Context, tx *store.Tx, env, directory, account string, groups []policy.Group, action protocol.Action) (mails, phones Addresses, err error) {
	for kind, list := range map[string]*Addresses{Mail: &mails, Phone: &phones} {
		rows, err := f.counting(ctx, tx, env, directory, account, groups, action, kind)
		if err != nil {
			return mails, phones, err
		}
		for _, row := range rows {
			list.To = append(list.To, string(row.Secret))
			list.Factors = append(list.Factors, row.ID)
			list.Roots = list.Roots.Or(policy.RootsNamed(row.Roots))
		}
	}
	return mails, phones, nil
}
