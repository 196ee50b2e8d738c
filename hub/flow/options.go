package flow

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Flows that lead to what people recover with. Their recoveries offer one action each.
const (
	FlowOptions   = "options"
	flowEnrollKey = "enroll-key"
)

// optionsLife is how long my recovery options stay open after the proof: to fetch a
// phone and to write codes down.
const optionsLife = 30 * time.Minute

// Factors are what people added for themselves.
type Factors interface {
	// Addresses returns those of an account to which codes may be sent now for an action,
	// if it is in these groups, too.
	Addresses(ctx context.Context, tx *store.Tx, env, directory, account string, groups []policy.Group, action protocol.Action) (mails, phones factor.Addresses, err error)
}

// enrolledKey is what a recovery with the action enroll-key is about.
type enrolledKey struct {
	hash, factor string
	credential   []byte
}

// ownAction returns the one action that an entrance of its own offers, "" for the first page.
func ownAction(in recovery.Intent) protocol.Action {
	switch {
	case in.Restricted: // a presigned link says itself what it offers
		return ""
	case in.SignIn != nil:
		return protocol.ActionSignIn
	case in.Flow == FlowOptions:
		return protocol.ActionOptions
	case in.Flow == flowEnrollKey && in.Key != "":
		return protocol.ActionEnrollKey
	}
	return ""
}

// offeredIn lists what a directory offers to somebody who came by an entrance.
func (r *Recoveries) offeredIn(ctx context.Context, d store.Directory, in recovery.Intent) []protocol.Action {
	own := ownAction(in)
	if own == "" {
		return r.offered(ctx, d)
	}
	s, err := directory.Settings(d)
	if err != nil || !policy.OffersOwn(s, d.Traits, own) {
		return nil
	}
	return []protocol.Action{own}
}

// addRecoveryAddresses adds to the directory's addresses those that the person added,
// so that codes and notices go there too. A code that went there proves no more than
// what enrolled the address, whoever read it (T17).
func (r *Recoveries) addRecoveryAddresses(ctx context.Context, rec *store.Recovery, c *protocol.Contacts, p *recovery.Private) error {
	if r.Factors == nil {
		return nil
	}
	return r.Store.Read(ctx, func(tx *store.Tx) error {
		mails, phones, err := r.Factors.Addresses(ctx, tx, rec.Env, rec.Directory, rec.Account, policy.GroupsNamed(p.Groups), protocol.Action(rec.Action))
		p.OwnMail, p.OwnPhone = reached(policy.MailCode, c.Mail, mails), reached(policy.SMSCode, c.Phone, phones)
		c.Mail, c.Phone = append(c.Mail, mails.To...), append(c.Phone, phones.To...)
		return err
	})
}

// reached says what a code proves that goes to the directory's addresses and to people's
// own; nil: its method.
func reached(m policy.Method, directory []string, own factor.Addresses) *recovery.Reached {
	if len(own.To) == 0 {
		return nil
	}
	roots := own.Roots
	if len(directory) > 0 {
		roots = policy.RootsOf(m).Or(roots)
	}
	return &recovery.Reached{Roots: roots, Factors: own.Factors}
}

// basis is what a right answer rests on in the end, and the person's own factors that
// may have given it.
func basis(p recovery.Private, method policy.Method, v verify.Verdict) (policy.Roots, []string) {
	own := map[policy.Method]*recovery.Reached{policy.MailCode: p.OwnMail, policy.SMSCode: p.OwnPhone, policy.SMSConfirm: p.OwnPhone}[method]
	switch {
	case policy.Kept(method):
		return v.Roots, []string{v.Factor}
	case own != nil:
		return own.Roots, own.Factors
	}
	return policy.RootsOf(method), nil
}

// Owner returns whom an open recovery of my recovery options has proven. ErrStep before
// the proof, and for every other recovery: evidence for something else opens no options
// (T1).
func (r *Recoveries) Owner(ctx context.Context, env, id, session string) (factor.Owner, error) {
	return r.person(ctx, env, id, session, func(rec store.Recovery) bool {
		return protocol.Action(rec.Action) == protocol.ActionOptions && rec.State == recovery.Ready && rec.ExpiresAt.After(r.Now())
	})
}

// Finished returns whom a recovery proved that has been carried out, and still shows its
// result.
func (r *Recoveries) Finished(ctx context.Context, env, id, session string) (factor.Owner, error) {
	return r.person(ctx, env, id, session, func(rec store.Recovery) bool { return rec.State == recovery.Done && rec.ResultUntil.After(r.Now()) })
}

func (r *Recoveries) person(ctx context.Context, env, id, session string, may func(rec store.Recovery) bool) (factor.Owner, error) {
	o, err := store.Get(ctx, r.Store, func(tx *store.Tx) (factor.Owner, error) {
		rec, err := recovery.Owned(ctx, tx, env, id, session)
		if err != nil {
			return factor.Owner{}, err
		}
		if !may(rec) {
			return factor.Owner{}, recovery.ErrStep
		}
		v, err := tx.VerificationOf(ctx, env, id)
		if err != nil {
			return factor.Owner{}, err
		}
		a, err := tx.AccountOf(ctx, env, rec.Directory, rec.Account)
		if err != nil {
			return factor.Owner{}, err
		}
		if v.State != store.VerificationProven || a.Disabled || a.ID != rec.Person {
			return factor.Owner{}, recovery.ErrStep
		}
		return ownerOf(&rec, v, a)
	})
	return o, recovery.Plain(err)
}

func ownerOf(rec *store.Recovery, v store.Verification, a store.Account) (factor.Owner, error) {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return factor.Owner{}, err
	}
	o := factor.Owner{Env: rec.Env, Directory: rec.Directory, Account: rec.Account, Person: rec.Person, Name: a.Name, Recovery: rec.ID, Verification: v.ID,
		Origin: rec.Origin, Language: rec.Language, Proven: v.Proven, Roots: v.Roots, Factors: v.Factors, Identifiers: a.Identifiers, ClientAddress: p.Client.Address, ClientDevice: p.Client.UserAgent}
	if p.Contacts != nil {
		o.Contacts = *p.Contacts
	}
	if u, err := url.Parse(rec.Origin); err == nil {
		o.RPID = u.Hostname()
	}
	return o, nil
}

// EnrollKey begins the recovery whose evidence enrols a passkey at the directory's agent:
// its operation bears the hash of the credential (T3). The session of my recovery options
// says whose it is; the person proves again who they are, for this key alone.
func (r *Recoveries) EnrollKey(ctx context.Context, env, id, session, factorID string, c evidence.Credential) (newID, newSession string, err error) {
	if _, err := r.Owner(ctx, env, id, session); err != nil {
		return "", "", err
	}
	rec, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) { return recovery.Owned(ctx, tx, env, id, session) })
	if err != nil {
		return "", "", recovery.Plain(err)
	}
	p, err := recovery.PrivateOf(&rec)
	if err != nil {
		return "", "", err
	}
	hash := c.Hash()
	text, err := json.Marshal(c)
	if err != nil {
		return "", "", err
	}
	return r.Start(ctx, Start{Env: env, Address: p.Address, Language: rec.Language, Client: p.Client, Intent: Intent{
		Flow: flowEnrollKey, Directories: []string{rec.Directory}, key: &enrolledKey{hex.EncodeToString(hash[:]), factorID, text}}})
}

// CanEnrollKey reports whether the agent of the directory keeps passkeys of its own.
func (r *Recoveries) CanEnrollKey(ctx context.Context, env, id, session string) (bool, error) {
	o, err := r.Owner(ctx, env, id, session)
	if err != nil {
		return false, err
	}
	d, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(ctx, env, o.Directory) })
	if err != nil {
		return false, recovery.Plain(err)
	}
	s, err := directory.Settings(d)
	return err == nil && policy.OffersOwn(s, d.Traits, protocol.ActionEnrollKey), err
}

// usedSavedCode reports whether a saved code was used in a recovery and has none in its
// place yet.
func usedSavedCode(ctx context.Context, tx *store.Tx, rec *store.Recovery) (bool, error) {
	v, err := tx.VerificationOf(ctx, rec.Env, rec.ID)
	if err != nil {
		return false, err
	}
	used, err := tx.UsedCodes(ctx, rec.Env, v.ID)
	return len(used) > 0, err
}
