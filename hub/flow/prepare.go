package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of the work behind a choice.
const (
	askAgent     = 10 * time.Second // one question to an agent
	sendCode     = 25 * time.Second // a mail server may be slow
	maxAttempts  = 6                // then the person asks for another code, or begins anew
	attemptAfter = 3 * time.Second  // times the number of attempts
	clockSkew    = time.Minute      // P28: the agent's clock
)

// A personCase is what the work behind a choice knows of one person.
type personCase struct {
	directory store.Directory
	account   store.Account // of a decoy: none
	groups    []policy.Group
	decision  policy.Decision
	v         store.Verification
	private   private
	blocked   bool
}

// prepare does what happens behind a choice: it finds the account, has the agent begin,
// reads addresses and opens the challenge of the method that was chosen. For a decoy it
// opens one that no answer meets, and nobody sees that.
func (r *Recoveries) prepare(ctx context.Context, rec *store.Recovery) error {
	c, err := r.lookUp(ctx, rec)
	if err != nil {
		return err
	}
	if c.account.ID == "" || len(c.decision.Tasks) == 0 {
		return r.openDecoy(ctx, rec, &c)
	}
	began, fresh := time.Now(), rec.AgentPart == ""
	if fresh {
		if err := r.begin(ctx, rec, &c); err != nil {
			return r.again(ctx, rec, &c, "agent does not begin a recovery", err)
		}
	}
	row, _ := policy.MethodByName(policy.Method(c.v.Shown))
	if row.Sends || c.private.Contacts == nil {
		if err := r.readContacts(ctx, rec, &c); err != nil {
			return r.again(ctx, rec, &c, "agent does not give addresses", err)
		}
	}
	if fresh {
		r.pace.note(rec.Directory, time.Since(began))
	}
	if row.Method == "" {
		rec.Private = []byte(store.JSON(c.private))
		return r.nothingSent(ctx, rec)
	}
	s, err := r.subject(rec, &c)
	if err != nil {
		return err
	}
	ok, err := r.usable(ctx, rec, s, policy.Combination{row.Method})
	if err != nil {
		return err
	}
	if !ok {
		r.Log.WarnContext(ctx, "a method cannot be used for an account", "recovery", rec.ID, "directory", rec.Directory, "method", row.Method)
		return r.openDecoy(ctx, rec, &c)
	}
	return r.challenge(ctx, rec, &c, row, s)
}

// nothingSent leaves the challenge that no answer meets.
func (r *Recoveries) nothingSent(ctx context.Context, rec *store.Recovery) error {
	if err := move(rec, stateProving); err != nil {
		return err
	}
	return r.postpone(ctx, rec, rec.ExpiresAt)
}

// again tries the same work a little later, and gives up after a few attempts. A
// refusal that will not change is not tried again, nor is anything whose wait would show.
func (r *Recoveries) again(ctx context.Context, rec *store.Recovery, c *personCase, what string, err error) error {
	if errors.Is(err, store.ErrConflict) { // the person went on meanwhile: what is known here is old
		return err
	}
	r.Log.WarnContext(ctx, what, "recovery", rec.ID, "directory", rec.Directory, "agent", rec.Agent, "error", err)
	row, _ := policy.MethodByName(policy.Method(c.v.Shown))
	if asksAlike := row.Method != "" && !row.Sends && len(c.v.Proven) == 0; asksAlike { // a page that waits longer would tell that there is somebody
		c.private.Paced = true // it has taken its time
		return r.openDecoy(ctx, rec, c)
	}
	if rec.Attempts++; rec.Attempts >= maxAttempts || !mayPass(err) {
		if err := r.Store.Tx(ctx, func(tx *store.Tx) error { return r.alarm(ctx, tx, rec, err) }); err != nil {
			return err
		}
		r.wakeOthers()
		return r.nothingSent(ctx, rec)
	}
	return r.postpone(ctx, rec, r.Now().Add(time.Duration(rec.Attempts)*attemptAfter))
}

// mayPass reports whether what stands in the way may go away within minutes.
func mayPass(err error) bool {
	switch protocol.CodeOf(err) {
	case protocol.CodeUnavailable, protocol.CodeInternal, protocol.CodeRateLimited, protocol.CodeQuarantined:
		return true
	}
	return false
}

// lookUp reads, in one view of the store, all that hub and policy know.
func (r *Recoveries) lookUp(ctx context.Context, rec *store.Recovery) (c personCase, err error) {
	if c.private, err = privateOf(rec); err != nil {
		return c, err
	}
	err = r.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if c.directory, err = tx.Directory(ctx, rec.Env, rec.Directory); err != nil {
			return err
		}
		if c.v, err = tx.VerificationOf(ctx, rec.Env, rec.ID); err != nil {
			return err
		}
		if c.account, err = r.account(ctx, tx, rec, c.private.Address); err != nil || c.account.ID == "" {
			return err
		}
		if c.decision, c.groups, err = r.decide(ctx, tx, rec, c.directory, c.account); err != nil {
			return err
		}
		until, err := tx.RecoveryBlock(ctx, rec.Env, rec.Directory, c.account.ImmutableID)
		c.blocked = !until.IsZero()
		return err
	})
	return c, err
}

// account returns the one enabled account of the directory that bears the address, or
// none: unknown, ambiguous, disabled and swept ones are all the same.
func (r *Recoveries) account(ctx context.Context, tx *store.Tx, rec *store.Recovery, address string) (store.Account, error) {
	if in, err := intentOf(rec); err != nil || in.SignIn != nil {
		if err != nil {
			return store.Account{}, err
		}
		return signInAccount(ctx, tx, rec.Env, rec.Directory, in.SignIn.Account)
	}
	found := map[string]store.Account{}
	for _, form := range spellings(address) {
		list, err := tx.FindAccounts(ctx, rec.Env, form)
		if err != nil {
			return store.Account{}, err
		}
		for _, a := range list {
			if a.Directory == rec.Directory && !a.Disabled && (rec.Account == "" || rec.Account == a.ImmutableID) {
				found[a.ID] = a
			}
		}
	}
	if len(found) != 1 {
		return store.Account{}, nil
	}
	for _, a := range found {
		return a, nil
	}
	return store.Account{}, nil
}

// decide applies the directory's policy to the account as it is now, and what the agent
// asks for besides it.
func (r *Recoveries) decide(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory, a store.Account) (policy.Decision, []policy.Group, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	in, err := intentOf(rec)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	s.Methods = in.held(s.Methods)
	list, err := tx.AccountGroups(ctx, rec.Env, a.ID)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	groups := make([]policy.Group, len(list))
	for i, g := range list {
		groups[i] = policy.Group{ID: g.ID, Name: g.Name}
	}
	p, err := privateOf(rec)
	if err != nil {
		return policy.Decision{}, nil, err
	}
	groups = append(groups, policy.GroupsNamed(p.Groups)...)
	action := protocol.Action(rec.Action)
	decision := policy.Decide(policy.Request{Action: action, Settings: s, Traits: d.Traits, Groups: groups, Wish: in.Wishes[action], Key: in.Key, Photo: a.Photo.Exists()})
	if p.Terms != nil {
		decision.Accept = policy.Both(decision.Accept, p.Terms.Methods)
	}
	return decision, groups, nil
}

// readContacts reads the addresses live, and leaves out what is being recovered: a code
// sent there would prove nothing.
func (r *Recoveries) readContacts(ctx context.Context, rec *store.Recovery, c *personCase) error {
	id, err := joined(rec)
	if err != nil {
		return err
	}
	var contacts protocol.Contacts
	if err := r.askAgent(ctx, toAgent(rec), protocol.MethodContacts, protocol.RecoveryRef{Recovery: id}, &contacts); err != nil {
		return err
	}
	own := map[string]bool{c.private.Address: true}
	for _, a := range append(c.account.Identifiers, contacts.Primary...) {
		if n, err := NormalAddress(a); err == nil {
			own[n] = true
		}
	}
	contacts.Mail = slices.DeleteFunc(contacts.Mail, func(a string) bool {
		n, err := NormalAddress(a)
		return err != nil || own[n]
	})
	if err := r.addRecoveryAddresses(ctx, rec, &contacts, &c.private); err != nil {
		return err
	}
	c.private.Contacts = &contacts
	return nil
}

// countSend counts a code of the account before it is sent, once for each that is
// asked for.
func (r *Recoveries) countSend(ctx context.Context, rec *store.Recovery, c *personCase) (ok bool, err error) {
	if c.private.Counted {
		return true, nil
	}
	subject := accountSubject(rec.Directory, rec.Account)
	c.private.Counted = true
	rec.Private = []byte(store.JSON(c.private))
	err = r.swap(ctx, rec, func(tx *store.Tx) error {
		left, _, err := r.mails(ctx, tx, rec.Env, subject, mailsPerHour)
		if ok = left > 0; err != nil || !ok {
			return err
		}
		return tx.AddCodeSend(ctx, rec.Env, subject)
	})
	return ok, err
}
