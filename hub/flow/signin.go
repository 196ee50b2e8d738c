package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// FlowSignIn leads through the proof that another identity provider asked for.
const FlowSignIn = "sign-in"

// A SignIn is what another identity provider asks about one account.
type SignIn struct {
	Env, Directory string
	Account        string          // immutable id; "" nobody: the same pages, and no proof is ever right
	Hint           string          // how the provider named them; proofs of nobody are counted under it
	Methods        []policy.Method // of which each accepted combination needs one
	Strict         bool            // accounts whose agent asks for verifiable evidence may (T11)
	Exchange       string          // of the caller
	Language       string          // BCP 47
	Client         recovery.Client
}

// SignIn begins the proof. It is a recovery that nothing is ever performed on: the agent
// begins it, and its evidence is bound to the operation sign_in and to nothing else (T1).
// Like every start it does the same work whether there is such an account or not.
func (r *Recoveries) SignIn(ctx context.Context, s SignIn) (id, session string, err error) {
	start := Start{Env: s.Env, Language: s.Language, Client: s.Client, Intent: Intent{Flow: FlowSignIn, Directories: []string{s.Directory},
		signIn: &recovery.SignIn{Account: s.Account, Methods: s.Methods, Strict: s.Strict, Exchange: s.Exchange}}}
	address, err := r.nameOf(ctx, s)
	if err != nil {
		return "", "", recovery.Plain(err)
	}
	session = recovery.NewSecret()
	rec := r.newRow(start, address, nil)
	rec.Session = recovery.HashSecret(session)
	if err = r.Store.Tx(ctx, func(tx *store.Tx) error { return r.addSignIn(ctx, tx, rec, start, address) }); err != nil {
		return "", "", recovery.Plain(err)
	}
	return rec.ID, session, r.Choose(ctx, s.Env, rec.ID, session, s.Directory, protocol.ActionSignIn)
}

// nameOf returns the address under which proofs are counted: the one that the account's
// recoveries begin with, or what the provider said.
func (r *Recoveries) nameOf(ctx context.Context, s SignIn) (string, error) {
	a, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Account, error) {
		return recovery.SignInAccount(ctx, tx, s.Env, s.Directory, s.Account)
	})
	for _, name := range a.Identifiers {
		if address, err := recovery.NormalAddress(name); err == nil {
			return address, nil
		}
	}
	return "sign-in:" + s.Hint, err
}

func (r *Recoveries) addSignIn(ctx context.Context, tx *store.Tx, rec *store.Recovery, s Start, address string) error {
	if err := tx.AddRecovery(ctx, rec); err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{
		Env: s.Env, Kind: audit.RecoveryStarted, Trace: rec.ID, RemoteAddr: s.Client.Address, UserAgent: recovery.Cut(s.Client.UserAgent, maxUserAgent),
		Detail: map[string]string{"origin": s.Client.Origin, "flow": FlowSignIn, "exchange": s.Intent.signIn.Exchange}, Personal: map[string]string{"address": address},
	})
}

// A SignedIn is a proof that was made, or that nobody makes any more.
type SignedIn struct {
	Env, Exchange string
	Recovery      string
	Proven        []policy.Method // none: it was not proven
	Directory     string
	Account       string // immutable id
	Person        string // row id
	Strict        bool   // the agent asks for verifiable evidence of this account
	Refused       recovery.Problem
	Client        recovery.Client
}

// FinishSignIn ends the proof of a session, once: with what was proven if all of it was
// and the person wants to give it, otherwise with nothing. then does the caller's part in the same transaction.
func (r *Recoveries) FinishSignIn(ctx context.Context, env, id, session string, give bool, then func(tx *store.Tx, s SignedIn) error) error {
	rec, err := r.rows.Change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		in, err := recovery.IntentOf(rec)
		if err != nil {
			return err
		}
		if in.SignIn == nil || !recovery.IsOpen(rec.State) {
			return recovery.ErrStep
		}
		s, err := r.signedIn(ctx, tx, rec, in)
		if err != nil {
			return err
		}
		if !give {
			s.Proven = nil
		}
		kind, how := audit.RecoveryCanceled, recovery.EndCancelled
		if len(s.Proven) > 0 {
			kind, how = audit.RecoveryVerified, recovery.EndReturned
		}
		if err := r.rows.Stop(ctx, tx, rec, how, kind, string(how)); err != nil {
			return err
		}
		return then(tx, s)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

func (r *Recoveries) signedIn(ctx context.Context, tx *store.Tx, rec *store.Recovery, in recovery.Intent) (SignedIn, error) {
	s := SignedIn{Env: rec.Env, Exchange: in.SignIn.Exchange, Recovery: rec.ID, Directory: rec.Directory, Account: rec.Account, Person: rec.Person, Refused: recovery.Problem(rec.Problem)}
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return s, err
	}
	s.Client, s.Strict = p.Client, p.Terms != nil && len(p.Terms.Methods) > 0
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if errors.Is(err, store.ErrNotFound) {
		return s, nil
	}
	if err != nil || rec.State != recovery.Ready || v.State != store.VerificationProven || !rec.ExpiresAt.After(r.Now()) {
		return s, err
	}
	a, err := recovery.SignInAccount(ctx, tx, rec.Env, rec.Directory, rec.Account)
	if err != nil || a.ID == "" || a.ID != rec.Person { // changed since it was proven
		return s, err
	}
	s.Proven = slices.Clone(recovery.MethodsNamed(v.Proven))
	return s, nil
}
