package flow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
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
	decision  policy.Decision
	v         store.Verification
	private   private
	blocked   bool
}

// prepare does what happens behind a choice: it finds the account, has the agent begin,
// reads addresses and sends a code. For a decoy it does nothing, and nobody sees that.
func (r *Recoveries) prepare(ctx context.Context, rec *store.Recovery) error {
	c, err := r.lookUp(ctx, rec)
	if err != nil {
		return err
	}
	if c.account.ID == "" || len(c.decision.Tasks) == 0 {
		return r.nothingSent(ctx, rec)
	}
	if rec.AgentPart == "" {
		if err := r.begin(ctx, rec, &c); err != nil {
			return r.again(ctx, rec, "agent does not begin a recovery", err)
		}
	}
	if err := r.readContacts(ctx, rec, &c); err != nil {
		return r.again(ctx, rec, "agent does not give addresses", err)
	}
	methods, err := r.combination(ctx, rec, &c)
	if err != nil {
		return err
	}
	if methods == nil {
		r.Log.WarnContext(ctx, "no method can be used for an account", "recovery", rec.ID, "directory", rec.Directory)
		return r.nothingSent(ctx, rec)
	}
	return r.challenge(ctx, rec, &c, methods)
}

// nothingSent leaves the challenge that no answer meets.
func (r *Recoveries) nothingSent(ctx context.Context, rec *store.Recovery) error {
	if err := move(rec, stateProving); err != nil {
		return err
	}
	return r.postpone(ctx, rec, rec.ExpiresAt)
}

// again tries the same work a little later, and gives up after a few attempts. A
// refusal that will not change is not tried again.
func (r *Recoveries) again(ctx context.Context, rec *store.Recovery, what string, err error) error {
	r.Log.WarnContext(ctx, what, "recovery", rec.ID, "directory", rec.Directory, "agent", rec.Agent, "error", err)
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
		if c.decision, err = r.decide(ctx, tx, rec, c.directory, c.account); err != nil {
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

// decide applies the directory's policy to the account as it is now.
func (r *Recoveries) decide(ctx context.Context, tx *store.Tx, rec *store.Recovery, d store.Directory, a store.Account) (policy.Decision, error) {
	s, err := directory.Settings(d)
	if err != nil {
		return policy.Decision{}, err
	}
	in, err := intentOf(rec)
	if err != nil {
		return policy.Decision{}, err
	}
	list, err := tx.AccountGroups(ctx, rec.Env, a.ID)
	if err != nil {
		return policy.Decision{}, err
	}
	groups := make([]policy.Group, len(list))
	for i, g := range list {
		groups[i] = policy.Group{ID: g.ID, Name: g.Name}
	}
	action := protocol.Action(rec.Action)
	return policy.Decide(policy.Request{Action: action, Settings: s, Traits: d.Traits, Groups: groups, Wish: in.Wishes[action]}), nil
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
	c.private.Contacts = &contacts
	return nil
}

// enrollFlow is the flow of people who set an account up (microsite parameter "flow").
const enrollFlow = "enroll"

func (r *Recoveries) subject(rec *store.Recovery, c *personCase) (verify.Subject, error) {
	id, err := joined(rec)
	in, errIntent := intentOf(rec)
	s := verify.Subject{Env: rec.Env, Enroll: in.Flow == enrollFlow, Directory: rec.Directory, Agent: rec.Agent, Recovery: id, Verification: c.v.ID,
		Action: protocol.Action(rec.Action), Operation: rec.Tasks, Account: rec.Account, Person: rec.Person, Name: c.account.Name,
		Strength: policy.Strength(rec.Strength), Traits: c.directory.Traits, Language: rec.Language, Origin: rec.Origin, Until: rec.ExpiresAt}
	if c.private.Contacts != nil {
		s.Contacts = *c.private.Contacts
	}
	return s, errors.Join(err, errIntent)
}

// combination returns the first accepted combination that goes on from what is proven,
// whose methods can all be used for this person and are not shut. nil if there is none.
func (r *Recoveries) combination(ctx context.Context, rec *store.Recovery, c *personCase) ([]string, error) {
	s, err := r.subject(rec, c)
	if err != nil {
		return nil, err
	}
	for _, list := range c.decision.Accept {
		all := names(list)
		if len(c.v.Proven) > 0 && !slices.Equal(all, c.v.Methods) {
			continue
		}
		ok, err := r.usable(ctx, rec, s, all[len(c.v.Proven):])
		if err != nil || ok {
			return all, err
		}
	}
	return nil, nil
}

// usable asks the verifiers outside of a transaction: they may read the store themselves.
func (r *Recoveries) usable(ctx context.Context, rec *store.Recovery, s verify.Subject, methods []string) (bool, error) {
	for _, m := range methods {
		v := r.verifiers[policy.Method(m)]
		if v == nil || !v.Usable(ctx, s) {
			return false, nil
		}
		until, err := store.Get(ctx, r.Store, func(tx *store.Tx) (time.Time, error) {
			return r.cooling(ctx, tx, rec.Env, accountSubject(rec.Directory, rec.Account), m)
		})
		if err != nil || !until.IsZero() {
			return false, err
		}
	}
	return true, nil
}

// challenge sends something for the next method and opens its challenge.
func (r *Recoveries) challenge(ctx context.Context, rec *store.Recovery, c *personCase, methods []string) error {
	method := methods[len(c.v.Proven)]
	if ok, err := r.countSend(ctx, rec, c); err != nil {
		return err
	} else if !ok { // asked for under several addresses of the account
		return r.nothingSent(ctx, rec)
	}
	s, err := r.subject(rec, c)
	if err != nil {
		return err
	}
	sendCtx, cancel := context.WithTimeout(ctx, sendCode)
	defer cancel()
	challenge, err := r.verifiers[policy.Method(method)].Open(sendCtx, s)
	if err != nil {
		return r.again(ctx, rec, "code cannot be sent", err)
	}
	c.private.Masked = challenge.Masked
	rec.Private, rec.DueAt = []byte(store.JSON(c.private)), rec.ExpiresAt
	if err := move(rec, stateProving); err != nil {
		return err
	}
	return r.swap(ctx, rec, func(tx *store.Tx) error {
		v := c.v
		v.Methods = methods
		if err := errors.Join(tx.SaveVerification(ctx, &v), tx.SetChallenge(ctx, rec.Env, v.ID, challenge.Text)); err != nil {
			return err
		}
		e := r.event(rec, c.private, audit.RecoveryCodeSent, map[string]any{"method": method})
		e.Personal = map[string]string{"masked": strings.Join(challenge.Masked, ", ")}
		return audit.Append(ctx, tx, e)
	})
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

// event is an audit event of a recovery.
func (r *Recoveries) event(rec *store.Recovery, p private, kind audit.Kind, detail any) audit.Event {
	return audit.Event{Env: rec.Env, Kind: kind, Account: rec.Person, Trace: rec.ID, RemoteAddr: p.Client.Address, UserAgent: p.Client.UserAgent, Detail: detail}
}
