package flow

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of "this was not me".
const (
	objectionLife = 7 * 24 * time.Hour // of the token in a mail
	blockLife     = 24 * time.Hour     // of what it does: long enough to reach an administrator, too short for a weapon (T31)
)

func (r *Recoveries) addObjection(ctx context.Context, tx *store.Tx, rec *store.Recovery, token string) error {
	return tx.AddObjection(ctx, store.Objection{Hash: hashSecret(token), Env: rec.Env, Recovery: rec.ID, Directory: rec.Directory,
		Account: rec.Account, Action: rec.Action, ExpiresAt: r.Now().Add(objectionLife)})
}

// NotMeView returns what the page of a token shows. It changes nothing: mail programs
// look behind links.
func (r *Recoveries) NotMeView(ctx context.Context, env, token string) (Objection, error) {
	o, err := store.Get(ctx, r.Store, func(tx *store.Tx) (Objection, error) { return r.objection(ctx, tx, env, token) })
	return o, r.plain(ctx, err)
}

func (r *Recoveries) objection(ctx context.Context, tx *store.Tx, env, token string) (Objection, error) {
	o, err := tx.Objection(ctx, env, hashSecret(token))
	if err != nil {
		return Objection{}, err
	}
	v := Objection{Action: protocol.Action(o.Action), At: o.MadeAt, Used: !o.UsedAt.IsZero()}
	a, err := tx.AccountOf(ctx, env, o.Directory, o.Account)
	switch {
	case err == nil:
		v.Account = a.Name
	case !errors.Is(err, store.ErrNotFound):
		return v, err
	}
	if v.Used {
		v.BlockedUntil, err = tx.RecoveryBlock(ctx, env, o.Directory, o.Account)
	} else {
		err = nil
	}
	return v, err
}

// NotMe voids the open recoveries of the account, blocks new ones for a day and removes
// what the recovery enrolled, if it was one of my recovery options. A token does it once; pressed again it shows what was done. It never disables the account.
func (r *Recoveries) NotMe(ctx context.Context, env, token string) (Objection, error) {
	v, err := store.Change(ctx, r.Store, func(tx *store.Tx) (Objection, error) {
		o, err := tx.Objection(ctx, env, hashSecret(token))
		if err != nil {
			return Objection{}, err
		}
		if o.UsedAt.IsZero() {
			if err := r.object(ctx, tx, o); err != nil {
				return Objection{}, err
			}
		}
		return r.objection(ctx, tx, env, token)
	})
	if err == nil {
		r.wakeOthers()
	}
	return v, r.plain(ctx, err)
}

func (r *Recoveries) object(ctx context.Context, tx *store.Tx, o store.Objection) error {
	if err := tx.UseObjection(ctx, o.Env, o.Hash); err != nil {
		return err
	}
	until := r.Now().Add(blockLife)
	if err := tx.BlockRecovery(ctx, o.Env, o.Directory, o.Account, until); err != nil {
		return err
	}
	e := audit.Event{Env: o.Env, Kind: audit.RecoveryNotMe, Trace: o.Recovery, Detail: map[string]any{"directory": o.Directory, "blocked_until": until.UTC()}}
	a, err := tx.AccountOf(ctx, o.Env, o.Directory, o.Account)
	if err == nil {
		e.Account = a.ID
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := r.disown(ctx, tx, o, a); err != nil { // what somebody else enrolled never counts (T17)
		return err
	}
	all := &store.Recovery{Env: o.Env, Directory: o.Directory, Account: o.Account}
	return errors.Join(r.void(ctx, tx, all, "the owner says that it was somebody else"), audit.Append(ctx, tx, e))
}

// disown removes what the recovery enrolled that the owner says was somebody else's,
// however long ago that was. The owner is told where the directory's names for the
// account are addresses: nothing else is known now of where they read mail.
func (r *Recoveries) disown(ctx context.Context, tx *store.Tx, o store.Objection, a store.Account) error {
	if r.Factors == nil {
		return nil
	}
	return r.Factors.Disown(ctx, tx, afterwards(&store.Recovery{Env: o.Env, ID: o.Recovery, Directory: o.Directory, Account: o.Account}, a))
}

// afterwards is the owner of what a recovery enrolled that may have ended long ago.
func afterwards(rec *store.Recovery, a store.Account) factor.Owner {
	owner := factor.Owner{Env: rec.Env, Directory: rec.Directory, Account: rec.Account, Person: a.ID, Name: a.Name, Recovery: rec.ID,
		Origin: rec.Origin, Language: rec.Language}
	for _, name := range a.Identifiers {
		if address, err := NormalAddress(name); err == nil {
			owner.Contacts.Primary = append(owner.Contacts.Primary, address)
		}
	}
	return owner
}
