package flow

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// FlowSignIn leads through the proof that another identity provider asked for.
const FlowSignIn = "sign-in"

// EndReturned says that the proof was made, and the person went back with it.
const EndReturned Ending = "returned"

// A SignIn is what another identity provider asks about one account.
type SignIn struct {
	Env, Directory string
	Account        string          // immutable id; "" nobody: the same pages, and no proof is ever right
	Hint           string          // how the provider named them; proofs of nobody are counted under it
	Methods        []policy.Method // of which each accepted combination needs one
	Strict         bool            // accounts whose agent asks for verifiable evidence may (T11)
	Exchange       string          // of the caller
	Language       string          // BCP 47
	Client         Client
}

// signIn is what a row keeps of it.
type signIn struct {
	Account  string          `json:"account"`
	Methods  []policy.Method `json:"methods"`
	Strict   bool            `json:"strict,omitempty"`
	Exchange string          `json:"exchange"`
}

// SignIn begins the proof. It is a recovery that nothing is ever performed on: the agent
// begins it, and its evidence is bound to the operation sign_in and to nothing else (T1).
// Like every start it does the same work whether there is such an account or not.
func (r *Recoveries) SignIn(ctx context.Context, s SignIn) (id, session string, err error) {
	start := Start{Env: s.Env, Language: s.Language, Client: s.Client, Intent: Intent{Flow: FlowSignIn, Directories: []string{s.Directory},
		signIn: &signIn{s.Account, s.Methods, s.Strict, s.Exchange}}}
	address, err := r.nameOf(ctx, s)
	if err != nil {
		return "", "", r.plain(ctx, err)
	}
	session = newSecret()
	rec := r.newRow(start, address, nil)
	rec.Session = hashSecret(session)
	if err = r.Store.Tx(ctx, func(tx *store.Tx) error { return r.addSignIn(ctx, tx, rec, start, address) }); err != nil {
		return "", "", r.plain(ctx, err)
	}
	return rec.ID, session, r.Choose(ctx, s.Env, rec.ID, session, s.Directory, protocol.ActionSignIn)
}

// nameOf returns the address under which proofs are counted: the one that the account's
// recoveries begin with, or what the provider said.
func (r *Recoveries) nameOf(ctx context.Context, s SignIn) (string, error) {
	a, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Account, error) {
		return signInAccount(ctx, tx, s.Env, s.Directory, s.Account)
	})
	for _, name := range a.Identifiers {
		if address, err := NormalAddress(name); err == nil {
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
		Env: s.Env, Kind: audit.RecoveryStarted, Trace: rec.ID, RemoteAddr: s.Client.Address, UserAgent: cut(s.Client.UserAgent, maxUserAgent),
		Detail: map[string]string{"origin": s.Client.Origin, "flow": FlowSignIn, "exchange": s.Intent.signIn.Exchange}, Personal: map[string]string{"address": address},
	})
}

// signInAccount returns the enabled account that a provider means, or none.
func signInAccount(ctx context.Context, tx *store.Tx, env, directory, id string) (store.Account, error) {
	if id == "" {
		return store.Account{}, nil
	}
	a, err := tx.AccountOf(ctx, env, directory, id)
	if isNotFound(err) || err == nil && a.Disabled {
		return store.Account{}, nil
	}
	return a, err
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// held returns the directory's methods as far as the one who asks takes them.
func (in intent) held(m policy.Methods) policy.Methods {
	if in.SignIn == nil {
		return m
	}
	return m.Holding(in.SignIn.Methods)
}

// strictHere reports whether the account is one for which the word of a hub is not
// enough, and nobody allowed that it is given nevertheless (T11).
func (in intent) strictHere(t *protocol.Terms) bool {
	return in.SignIn != nil && !in.SignIn.Strict && t != nil && len(t.Methods) > 0
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
	Refused       Problem
	Client        Client
}

// FinishSignIn ends the proof of a session, once: with what was proven if all of it was
// and the person wants to give it, otherwise with nothing. then does the caller's part in the same transaction.
func (r *Recoveries) FinishSignIn(ctx context.Context, env, id, session string, give bool, then func(tx *store.Tx, s SignedIn) error) error {
	rec, err := r.change(ctx, env, id, session, func(tx *store.Tx, rec *store.Recovery) error {
		in, err := intentOf(rec)
		if err != nil {
			return err
		}
		if in.SignIn == nil || !isOpen(rec.State) {
			return ErrStep
		}
		s, err := r.signedIn(ctx, tx, rec, in)
		if err != nil {
			return err
		}
		if !give {
			s.Proven = nil
		}
		kind, how := audit.RecoveryCanceled, EndCancelled
		if len(s.Proven) > 0 {
			kind, how = audit.RecoveryVerified, EndReturned
		}
		if err := r.stop(ctx, tx, rec, how, kind, string(how)); err != nil {
			return err
		}
		return then(tx, s)
	})
	if err == nil {
		r.poke(&rec)
	}
	return err
}

func (r *Recoveries) signedIn(ctx context.Context, tx *store.Tx, rec *store.Recovery, in intent) (SignedIn, error) {
	s := SignedIn{Env: rec.Env, Exchange: in.SignIn.Exchange, Recovery: rec.ID, Directory: rec.Directory, Account: rec.Account, Person: rec.Person, Refused: Problem(rec.Problem)}
	p, err := privateOf(rec)
	if err != nil {
		return s, err
	}
	s.Client, s.Strict = p.Client, p.Terms != nil && len(p.Terms.Methods) > 0
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if isNotFound(err) {
		return s, nil
	}
	if err != nil || rec.State != stateReady || v.State != verificationProven || !rec.ExpiresAt.After(r.Now()) {
		return s, err
	}
	a, err := signInAccount(ctx, tx, rec.Env, rec.Directory, rec.Account)
	if err != nil || a.ID == "" || a.ID != rec.Person { // changed since it was proven
		return s, err
	}
	s.Proven = slices.Clone(methodsOf(v.Proven))
	return s, nil
}
