package flow

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Times of the work behind a choice.
const (
	sendCode     = 25 * time.Second // a mail server may be slow
	maxAttempts  = 6                // then the person asks for another code, or begins anew
	attemptAfter = time.Second      // times the square of the number of attempts: soon after a tunnel that was replaced, for a minute in all
)

// prepare does what happens behind a choice: it finds the account, has the agent begin,
// reads addresses and opens the challenge of the method that was chosen. For a decoy it
// opens one that no answer meets, and nobody sees that.
func (r *Recoveries) prepare(ctx context.Context, rec *store.Recovery) error {
	c, err := r.lookUpLeased(ctx, rec)
	if err != nil {
		return err
	}
	if c.Account.ID == "" || len(c.Decision.Tasks) == 0 {
		return r.openDecoy(ctx, rec, &c)
	}
	began, fresh := time.Now(), rec.AgentPart == ""
	if fresh {
		if err := r.Operations.Begin(ctx, rec, &c); err != nil {
			return r.again(ctx, rec, &c, "agent does not begin a recovery", err)
		}
	}
	row, _ := policy.MethodByName(policy.Method(c.Verification.Shown))
	if row.Sends || c.Private.Contacts == nil {
		if err := r.readContacts(ctx, rec, &c); err != nil {
			return r.again(ctx, rec, &c, "agent does not give addresses", err)
		}
	}
	if fresh {
		r.pace.note(rec.Directory, time.Since(began))
	}
	if row.Method == "" {
		rec.Private = []byte(store.JSON(c.Private))
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
		if len(c.Verification.Proven) > 0 { // the person is known, and may learn that nobody is asked
			return r.nothingSent(ctx, rec)
		}
		return r.openDecoy(ctx, rec, &c)
	}
	return r.challenge(ctx, rec, &c, row, s)
}

// lookUpLeased is LookUp for a row that was leased. It returns ErrConflict if the person
// went on since: what is looked up then does not fit the row, and may name a method that
// would ask people about a context without the browser's key.
func (r *Recoveries) lookUpLeased(ctx context.Context, rec *store.Recovery) (recovery.Case, error) {
	c, err := r.rows.LookUp(ctx, rec)
	if err != nil {
		return c, err
	}
	now, err := store.Look(ctx, r.Store, func(tx *store.Tx) (store.Recovery, error) { return tx.Recovery(ctx, rec.Env, rec.ID) })
	if err == nil && now.Version != rec.Version {
		err = store.ErrConflict
	}
	return c, err
}

// nothingSent leaves the challenge that no answer meets.
func (r *Recoveries) nothingSent(ctx context.Context, rec *store.Recovery) error {
	if err := recovery.Move(rec, recovery.Proving); err != nil {
		return err
	}
	return r.rows.Postpone(ctx, rec, rec.ExpiresAt)
}

// again tries the same work a little later, and gives up after a few attempts. A
// refusal that will not change is not tried again, nor is anything whose wait would show.
func (r *Recoveries) again(ctx context.Context, rec *store.Recovery, c *recovery.Case, what string, err error) error {
	if errors.Is(err, store.ErrConflict) { // the person went on meanwhile: what is known here is old
		return err
	}
	r.Log.WarnContext(ctx, what, "recovery", rec.ID, "directory", rec.Directory, "agent", rec.Agent, "error", err)
	row, _ := policy.MethodByName(policy.Method(c.Verification.Shown))
	if asksAlike := row.Method != "" && !row.Sends && len(c.Verification.Proven) == 0; asksAlike { // a page that waits longer would tell that there is somebody
		c.Private.Paced = true // it has taken its time
		return r.openDecoy(ctx, rec, c)
	}
	if rec.Attempts++; rec.Attempts >= maxAttempts || !operation.MayPass(err) {
		if err := r.Store.Tx(ctx, func(tx *store.Tx) error { return r.Operations.Alarm(ctx, tx, rec, err) }); err != nil {
			return err
		}
		r.Operations.Wake()
		return r.nothingSent(ctx, rec)
	}
	return r.rows.Postpone(ctx, rec, r.Now().Add(time.Duration(rec.Attempts*rec.Attempts)*attemptAfter))
}

// readContacts reads the addresses live, and leaves out what is being recovered: a code
// sent there would prove nothing.
func (r *Recoveries) readContacts(ctx context.Context, rec *store.Recovery, c *recovery.Case) error {
	id, err := recovery.FullID(rec)
	if err != nil {
		return err
	}
	var contacts protocol.Contacts
	if err := r.Operations.Ask(ctx, operation.ToAgent(rec), protocol.MethodContacts, protocol.RecoveryRef{Recovery: id}, &contacts); err != nil {
		return err
	}
	own := map[string]bool{c.Private.Address: true}
	for _, a := range append(c.Account.Identifiers, contacts.Primary...) {
		if n, err := recovery.NormalAddress(a); err == nil {
			own[n] = true
		}
	}
	contacts.Mail = slices.DeleteFunc(contacts.Mail, func(a string) bool {
		n, err := recovery.NormalAddress(a)
		return err != nil || own[n]
	})
	if err := r.addRecoveryAddresses(ctx, rec, &contacts, &c.Private); err != nil {
		return err
	}
	c.Private.Contacts = &contacts
	return nil
}

// countSend counts a code of the account before it is sent, once for each that is
// asked for.
func (r *Recoveries) countSend(ctx context.Context, rec *store.Recovery, c *recovery.Case) (ok bool, err error) {
	if c.Private.Counted {
		return true, nil
	}
	subject := accountSubject(rec.Directory, rec.Account)
	c.Private.Counted = true
	rec.Private = []byte(store.JSON(c.Private))
	err = r.rows.Swap(ctx, rec, func(tx *store.Tx) error {
		left, _, err := r.mails(ctx, tx, rec.Env, subject, mailsPerHour)
		if ok = left > 0; err != nil || !ok {
			return err
		}
		return tx.AddCodeSend(ctx, rec.Env, subject)
	})
	return ok, err
}
