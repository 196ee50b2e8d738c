package flow

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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

// begin asks an agent to begin, checks its answer and writes it down, so that whoever
// goes on after a crash does not begin anew.
func (r *Recoveries) begin(ctx context.Context, rec *store.Recovery, c *personCase) error {
	hubPart, err := base64.RawURLEncoding.DecodeString(rec.ID)
	if err != nil {
		return err
	}
	tasks := protocol.CanonicalTasks(c.decision.Tasks)
	req := protocol.BeginRequest{Recovery: hubPart, Account: c.account.ImmutableID, Operation: tasks, Origin: rec.Origin}
	var b protocol.Begun
	if err := r.askAgent(ctx, To{Env: rec.Env, Directory: rec.Directory}, protocol.MethodBegin, req, &b); err != nil {
		return err
	}
	if err := r.checkBegun(ctx, rec, c, b); err != nil {
		return err
	}
	rec.Account, rec.Person, rec.Tasks, rec.Strength = c.account.ImmutableID, c.account.ID, tasks, string(c.decision.Strength)
	rec.Agent, rec.AgentPart, rec.NotAfter = b.Agent, base64.RawURLEncoding.EncodeToString(b.Recovery), b.NotAfter
	rec.Problem = string(r.finding(c, b.Finding))
	return r.swap(ctx, rec, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, r.event(rec, c.private, audit.RecoveryBegun, map[string]any{
			"agent": b.Agent, "operation": tasks, "policy": c.decision.Strength, "methods": c.decision.Accept, "link": rec.Link,
			"weaker_policy_ignored": c.decision.Ignored, "finding": rec.Problem,
		}))
	})
}

// checkBegun refuses an answer that does not fit the question: the context would bind
// evidence to something else than what was asked (T22).
func (r *Recoveries) checkBegun(ctx context.Context, rec *store.Recovery, c *personCase, b protocol.Begun) error {
	until := time.Unix(b.NotAfter, 0)
	switch {
	case len(b.Recovery) != protocol.RandomPart:
		return fmt.Errorf("the agent's random part has %d bytes", len(b.Recovery))
	case b.Account != c.account.ImmutableID:
		return errors.New("the agent began another account than the one asked for")
	case until.Before(r.Now()) || until.After(r.Now().Add(proveLife+clockSkew)):
		return fmt.Errorf("the agent's recovery ends at %s; the clocks of hub and agent differ", until.UTC().Format(time.RFC3339))
	case legacy(c.directory) && b.Agent == protocol.LegacyAgent(rec.Directory): // the hub itself answered for it
		return nil
	}
	a, err := store.Get(ctx, r.Store, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, rec.Env, b.Agent) })
	if err != nil {
		return fmt.Errorf("the agent that began: %w", err)
	}
	if a.Directory != rec.Directory {
		return errors.New("an agent of another directory began")
	}
	return nil
}

// finding is what the person reads after the first proof, if it cannot be done.
func (r *Recoveries) finding(c *personCase, f *protocol.Error) Problem {
	switch {
	case c.blocked:
		return ProblemBlocked
	case !c.decision.Permitted:
		return ProblemNotAllowed
	case f != nil:
		return problemOf(f.Code, c.decision.Tasks)
	}
	return ProblemNone
}

// problemOf turns an agent's code into what a person reads.
func problemOf(code protocol.Code, tasks []protocol.Task) Problem {
	switch code {
	case protocol.CodePermissionDenied, protocol.CodeAccountNotFound, protocol.CodeUnsupported:
		return ProblemNotAllowed
	case protocol.CodePasswordPolicy:
		return ProblemPolicy
	case protocol.CodeUnavailable, protocol.CodeRateLimited, protocol.CodeQuarantined, protocol.CodeServiceAuthentication, protocol.CodeConfiguration:
		return ProblemUnavailable
	case protocol.CodeUnsupportedAccountState:
		switch {
		case len(tasks) == 1 && tasks[0].Operation == protocol.Unlock:
			return ProblemNotLocked
		case len(tasks) == 1 && tasks[0].Operation == protocol.RemoveAllMFA:
			return ProblemNothing
		}
		return ProblemNotAllowed
	}
	return ProblemInternal
}

// joined is the recovery's id as hub and agent know it.
func joined(rec *store.Recovery) (string, error) {
	hub, err1 := base64.RawURLEncoding.DecodeString(rec.ID)
	agent, err2 := base64.RawURLEncoding.DecodeString(rec.AgentPart)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("flow: id of a recovery: %w", err)
	}
	return protocol.RecoveryID(hub, agent), nil
}

func toAgent(rec *store.Recovery) To {
	return To{Env: rec.Env, Directory: rec.Directory, Agent: rec.Agent}
}

func (r *Recoveries) askAgent(ctx context.Context, to To, m protocol.Method, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, askAgent)
	defer cancel()
	return r.Agents.Call(ctx, to, m, protocol.PriorityRecovery, req, resp)
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
		Traits: c.directory.Traits, Language: rec.Language, Origin: rec.Origin, Until: rec.ExpiresAt}
	if c.private.Contacts != nil {
		s.Contacts = *c.private.Contacts
	}
	return s, errors.Join(err, errIntent)
}

// combination returns the first accepted combination that goes on from what is proven,
// whose methods can all be used for this person and are not shut. nil if there is none.
func (r *Recoveries) combination(ctx context.Context, rec *store.Recovery, c *personCase) (methods []string, err error) {
	s, err := r.subject(rec, c)
	if err != nil {
		return nil, err
	}
	err = r.Store.Read(ctx, func(tx *store.Tx) error {
		for _, list := range c.decision.Accept {
			all := names(list)
			if len(c.v.Proven) > 0 && !slices.Equal(all, c.v.Methods) {
				continue
			}
			ok, err := r.usable(ctx, tx, rec, s, all[len(c.v.Proven):])
			if err != nil {
				return err
			}
			if ok {
				methods = all
				return nil
			}
		}
		return nil
	})
	return methods, err
}

func (r *Recoveries) usable(ctx context.Context, tx *store.Tx, rec *store.Recovery, s verify.Subject, methods []string) (bool, error) {
	for _, m := range methods {
		v := r.verifiers[policy.Method(m)]
		if v == nil || !v.Usable(s) {
			return false, nil
		}
		until, err := r.cooling(ctx, tx, rec.Env, accountSubject(rec.Directory, rec.Account), m)
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
	challenge, err := r.verifiers[policy.Method(method)].Send(sendCtx, s)
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
		left, _, err := r.sends(ctx, tx, rec.Env, subject)
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
