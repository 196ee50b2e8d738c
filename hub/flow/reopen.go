package flow

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
)

// Closed returns until when the owner of an account can prove nothing by some method
// after too many failed proofs, the latest of all methods; zero if all are open. stopped
// says that no time ends it, only Reopen or a success.
func (r *Recoveries) Closed(ctx context.Context, tx *store.Tx, a store.Account) (until time.Time, stopped bool, err error) {
	for _, subject := range r.countedUnder(a) {
		for method := range r.verifiers {
			at, err := r.cooling(ctx, tx, a.Env, subject, string(method))
			if err != nil {
				return time.Time{}, false, err
			}
			until = later(until, at)
		}
	}
	return until, !until.Before(never), nil
}

// Reopen forgets the failed proofs of an account and of every address of it, as a
// success does: an administrator has looked. The caller records who did.
func (r *Recoveries) Reopen(ctx context.Context, tx *store.Tx, a store.Account) error {
	var errs []error
	for _, subject := range r.countedUnder(a) {
		for method := range r.verifiers {
			errs = append(errs, tx.ForgetProofCounter(ctx, a.Env, subject, string(method), purposeRecovery))
		}
	}
	return errors.Join(errs...)
}

// countedUnder are the subjects under which the proofs of an account are counted: its
// own, and those of the addresses with which a recovery of it can begin.
func (r *Recoveries) countedUnder(a store.Account) []string {
	subjects, key := []string{accountSubject(a.Directory, a.ImmutableID)}, r.Store.DeriveKeys(addressKeyPurpose)[0]
	for _, name := range a.Identifiers {
		if address, err := recovery.NormalAddress(name); err == nil {
			subjects = append(subjects, "address:"+keyedHash(key, a.Env, address))
		}
	}
	return subjects
}
