package console

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Recoveries knows who is shut out of recovery after failed proofs.
type Recoveries interface {
	// Closed returns until when some method of an account is shut, and whether only an
	// administrator ends it.
	Closed(ctx context.Context, tx *store.Tx, a store.Account) (until time.Time, stopped bool, err error)
	// Reopen opens the methods of an account again.
	Reopen(ctx context.Context, tx *store.Tx, a store.Account) error
}

// accountsPath is where accounts are looked up. What is typed travels in a form: an
// address of a page stands in logs.
const accountsPath = root + "/accounts"

// found are the accounts that a page shows.
type found struct{ Accounts []shut }

// A shut account, or one that turned out to be open.
type shut struct {
	store.Account
	Place           string // name of the directory
	Closed, Blocked time.Time
	Stopped         bool
}

// Open reports whether nothing keeps the account from being recovered.
func (s shut) Open() bool { return s.Closed.IsZero() && s.Blocked.IsZero() && !s.Disabled }

// maxTyped bounds what is looked up, in bytes.
const maxTyped = 254

// accounts looks up who has an address or name.
func (v *visit) accounts() {
	v.withAccounts(func(ctx context.Context, tx *store.Tx, env string) ([]store.Account, error) {
		typed := v.field("q")
		if typed == "" || len(typed) > maxTyped {
			return nil, nil
		}
		return tx.FindAccounts(ctx, env, typed)
	})
}

func (v *visit) reopen() {
	v.decide(audit.RecoveryReopened, v.console.cfg.Recoveries.Reopen)
}

func (v *visit) unblock() {
	v.decide(audit.RecoveryUnblocked, func(ctx context.Context, tx *store.Tx, a store.Account) error {
		return tx.LiftRecoveryBlock(ctx, a.Env, a.Directory, a.ImmutableID)
	})
}

// decide carries out a decision about the account that the form names, records it, and
// shows how the account stands then.
func (v *visit) decide(kind audit.Kind, do func(context.Context, *store.Tx, store.Account) error) {
	v.withAccounts(func(ctx context.Context, tx *store.Tx, env string) ([]store.Account, error) {
		a, err := tx.Account(ctx, env, v.field("account"))
		if err != nil {
			return nil, err
		}
		if err := do(ctx, tx, a); err != nil {
			return nil, err
		}
		return []store.Account{a}, audit.Append(ctx, tx, audit.Event{Env: env, Kind: kind, Account: a.ID, Actor: v.actor(),
			Detail: map[string]any{"account": a.ID, "directory": a.Directory}})
	})
}

// withAccounts shows the accounts that choose returns, of an environment of the
// administrator's organisation.
func (v *visit) withAccounts(choose func(ctx context.Context, tx *store.Tx, env string) ([]store.Account, error)) {
	ctx, cancel := v.context()
	defer cancel()
	env := v.field("env")
	if err := v.owns(ctx, env); err != nil {
		v.fail(err)
		return
	}
	f, err := store.Change(ctx, v.console.cfg.Store, func(tx *store.Tx) (*found, error) {
		list, err := choose(ctx, tx, env)
		if err != nil {
			return nil, err
		}
		return v.stand(ctx, tx, list)
	})
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.Found, s.SignedIn = s.T("console.shut.title"), f, true
	v.show(http.StatusOK, "accounts", s)
}

// stand reads what keeps accounts from being recovered.
func (v *visit) stand(ctx context.Context, tx *store.Tx, list []store.Account) (*found, error) {
	f := new(found)
	for _, a := range list {
		d, err := tx.Directory(ctx, a.Env, a.Directory)
		if err != nil {
			return nil, err
		}
		s := shut{Account: a, Place: nameOf(d)}
		if s.Closed, s.Stopped, err = v.console.cfg.Recoveries.Closed(ctx, tx, a); err != nil {
			return nil, err
		}
		if s.Blocked, err = tx.RecoveryBlock(ctx, a.Env, a.Directory, a.ImmutableID); err != nil {
			return nil, err
		}
		f.Accounts = append(f.Accounts, s)
	}
	return f, nil
}
