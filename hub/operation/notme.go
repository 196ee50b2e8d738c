package operation

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of "this was not me".
const (
	ObjectionLife = 7 * 24 * time.Hour // of the token in a mail
	blockLife     = 24 * time.Hour     // of what it does: long enough to reach an administrator, too short for a weapon (T31)
)

func (o *Operations) addObjection(ctx context.Context, tx *store.Tx, rec *store.Recovery, token string) error {
	return tx.AddObjection(ctx, store.Objection{Hash: recovery.HashSecret(token), Env: rec.Env, Recovery: rec.ID, Directory: rec.Directory,
		Account: rec.Account, Action: rec.Action, ExpiresAt: o.Now().Add(ObjectionLife)})
}

// NotMeView returns what the page of a token shows. It changes nothing: mail programs
// look behind links.
func (o *Operations) NotMeView(ctx context.Context, env, token string) (Objection, error) {
	v, err := store.Get(ctx, o.Store, func(tx *store.Tx) (Objection, error) { return o.objection(ctx, tx, env, token) })
	return v, recovery.Plain(err)
}

func (o *Operations) objection(ctx context.Context, tx *store.Tx, env, token string) (Objection, error) {
	row, err := tx.Objection(ctx, env, recovery.HashSecret(token))
	if err != nil {
		return Objection{}, err
	}
	v := Objection{Action: protocol.Action(row.Action), At: row.MadeAt, Used: !row.UsedAt.IsZero()}
	a, err := tx.AccountOf(ctx, env, row.Directory, row.Account)
	switch {
	case err == nil:
		v.Account = a.Name
	case !errors.Is(err, store.ErrNotFound):
		return v, err
	}
	if v.Used {
		v.BlockedUntil, err = tx.RecoveryBlock(ctx, env, row.Directory, row.Account)
	} else {
		err = nil
	}
	return v, err
}

// NotMe voids the open recoveries of the account, blocks new ones for a day and removes
// what the recovery enrolled, if it was one of my recovery options. A token does it once; pressed again it shows what was done. It never disables the account.
func (o *Operations) NotMe(ctx context.Context, env, token string) (Objection, error) {
	v, err := store.Change(ctx, o.Store, func(tx *store.Tx) (Objection, error) {
		row, err := tx.Objection(ctx, env, recovery.HashSecret(token))
		if err != nil {
			return Objection{}, err
		}
		if row.UsedAt.IsZero() {
			if err := o.object(ctx, tx, row); err != nil {
				return Objection{}, err
			}
		}
		return o.objection(ctx, tx, env, token)
	})
	if err == nil {
		o.Wake()
	}
	return v, recovery.Plain(err)
}

func (o *Operations) object(ctx context.Context, tx *store.Tx, row store.Objection) error {
	if err := tx.UseObjection(ctx, row.Env, row.Hash); err != nil {
		return err
	}
	until := o.Now().Add(blockLife)
	if err := tx.BlockRecovery(ctx, row.Env, row.Directory, row.Account, until); err != nil {
		return err
	}
	e := audit.Event{Env: row.Env, Kind: audit.RecoveryNotMe, Trace: row.Recovery, Detail: map[string]any{"directory": row.Directory, "blocked_until": until.UTC()}}
	a, err := tx.AccountOf(ctx, row.Env, row.Directory, row.Account)
	if err == nil {
		e.Account = a.ID
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := o.disown(ctx, tx, row, a); err != nil { // what somebody else enrolled never counts (T17)
		return err
	}
	all := &store.Recovery{Env: row.Env, Directory: row.Directory, Account: row.Account}
	return errors.Join(o.rows.Void(ctx, tx, all, "the owner says that it was somebody else"), audit.Append(ctx, tx, e))
}

// disown removes what the recovery enrolled that the owner says was somebody else's,
// however long ago that was. The owner is told where the directory's names for the
// account are addresses: nothing else is known now of where they read mail.
func (o *Operations) disown(ctx context.Context, tx *store.Tx, row store.Objection, a store.Account) error {
	if o.Factors == nil {
		return nil
	}
	return o.Factors.Disown(ctx, tx, afterwards(&store.Recovery{Env: row.Env, ID: row.Recovery, Directory: row.Directory, Account: row.Account}, a))
}

// afterwards is the owner of what a recovery enrolled that may have ended long ago.
func afterwards(rec *store.Recovery, a store.Account) factor.Owner {
	owner := factor.Owner{Env: rec.Env, Directory: rec.Directory, Account: rec.Account, Person: a.ID, Name: a.Name, Recovery: rec.ID,
		Origin: rec.Origin, Language: rec.Language}
	for _, name := range a.Identifiers {
		if address, err := recovery.NormalAddress(name); err == nil {
			owner.Contacts.Primary = append(owner.Contacts.Primary, address)
		}
	}
	return owner
}

// An Objection is what the link "this was not me" of a notice shows and does.
type Objection struct {
	Account      string          // the account's name; the notice named it too
	Action       protocol.Action // what was done or asked
	At           time.Time
	Used         bool      // the button was pressed before
	BlockedUntil time.Time // once used
}
