package flow

import (
	"context"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// Limits of mails about disowned recoveries: whoever begins many of them floods nobody.
const (
	disownedMails = 1
	disownedGap   = time.Hour
)

// Disown ends a recovery that the person who reads or has read its ticket did not begin,
// and raises the alarm: somebody had them read a picture from a screen. The owner gets a
// mail, and it stands in the log, which the organisation's webhooks hear of.
func (r *Recoveries) Disown(ctx context.Context, env, id, session string) error {
	var rec store.Recovery
	err := r.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if rec, err = recovery.Owned(ctx, tx, env, id, session); errors.Is(err, store.ErrNotFound) {
			rec, _, err = r.waitsForCode(ctx, tx, env, id, session)
		}
		if err != nil {
			return err
		}
		if !recovery.IsOpen(rec.State) {
			return recovery.ErrStep
		}
		return r.endDisowned(ctx, tx, &rec)
	})
	if err == nil {
		r.poke(&rec)
		r.Operations.Wake()
	}
	return recovery.Plain(err)
}

func (r *Recoveries) endDisowned(ctx context.Context, tx *store.Tx, rec *store.Recovery) error {
	p, err := recovery.PrivateOf(rec)
	if err != nil {
		return err
	}
	if err := r.warn(ctx, tx, rec, p); err != nil {
		return err
	}
	if err := r.rows.Stop(ctx, tx, rec, recovery.EndDisowned, audit.RecoveryDisowned, "the person who took it over did not begin it"); err != nil {
		return err
	}
	return tx.SaveRecovery(ctx, rec)
}

// warn queues the owner's mail, once in a while.
func (r *Recoveries) warn(ctx context.Context, tx *store.Tx, rec *store.Recovery, p recovery.Private) error {
	if rec.Account == "" || p.Contacts == nil {
		return nil
	}
	subject := "disowned:" + accountSubject(rec.Directory, rec.Account)
	sent, _, err := tx.CodeSends(ctx, rec.Env, subject, r.Now().Add(-disownedGap))
	if err != nil || sent >= disownedMails {
		return err
	}
	a, err := tx.AccountOf(ctx, rec.Env, rec.Directory, rec.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	err = r.Operations.Queue(ctx, tx, rec, operation.Notice{Env: rec.Env, Recovery: rec.ID, Contacts: *p.Contacts, Account: a.Name, Action: protocol.Action(rec.Action), Disowned: true,
		At: rec.CreatedAt, Client: p.Client, Language: rec.Language, Until: r.Now().Add(operation.ObjectionLife)})
	result := "queued"
	if errors.Is(err, operation.ErrNoAddress) {
		result, err = "undeliverable", nil
	}
	return errors.Join(err, tx.AddCodeSend(ctx, rec.Env, subject), audit.Append(ctx, tx, recovery.Event(rec, p, audit.RecoveryNotified, map[string]any{"result": result})))
}
