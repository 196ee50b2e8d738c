package notify

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Numbers of the outbox.
const (
	keepTrying  = 48 * time.Hour // a mail server that is away over a weekend
	firstRetry  = time.Minute
	lastRetry   = time.Hour
	mailTimeout = 60 * time.Second // one batch over one connection
	claimFor    = 3 * time.Minute  // longer than a batch; a dead node's mails wait as long
	batch       = 20
	lookEvery   = 2 * time.Second // what other nodes queued, and retries that are due
	finishWrite = 5 * time.Second // to record what was sent while the hub stops
	unreadTries = 3               // of a mail whose key this node lacks: during a rotation it has it a moment later
)

// Run sends what is queued until ctx ends. Every node runs it; a mail is sent by one of
// them at a time, and at least once: a node that dies between the mail server's answer
// and the store leaves it to be sent again under the same Message-ID.
func (n *Notifier) Run(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var away bool
	for {
		err := n.sendDue(ctx)
		if (err != nil) != away && ctx.Err() == nil {
			away = err != nil
			n.log.WarnContext(ctx, "mail outbox", "reachable", !away, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-n.wake:
		}
	}
}

// sendDue sends batches until nothing is due. Without a mail server mails wait.
func (n *Notifier) sendDue(ctx context.Context) error {
	for ctx.Err() == nil {
		r := n.route.Load()
		if r == nil {
			return nil
		}
		due, err := store.Change(ctx, n.store, func(tx *store.Tx) ([]store.Mail, error) {
			return tx.ClaimMails(ctx, batch, n.now().Add(claimFor))
		})
		if errors.Is(err, store.ErrConflict) {
			return nil // another node is at it; look again later
		}
		if err != nil || len(due) == 0 {
			return err
		}
		if due = n.setAside(ctx, due); len(due) > 0 {
			n.sendBatch(ctx, r, due)
		}
	}
	return nil
}

// setAside records what became of mails that do not open, and returns the others.
func (n *Notifier) setAside(ctx context.Context, due []store.Mail) (open []store.Mail) {
	for _, m := range due {
		if m.Err != nil {
			n.unread(ctx, m)
			continue
		}
		open = append(open, m)
	}
	return open
}

// unread gives up a mail that does not open, and says so in the log of its environment. One
// whose key may come waits.
func (n *Notifier) unread(ctx context.Context, m store.Mail) {
	over := !errors.Is(m.Err, store.ErrMasterKey) || m.Tries+1 >= unreadTries
	err := n.store.Tx(ctx, func(tx *store.Tx) error {
		if !over {
			return tx.MailFailed(ctx, m, n.retryAt(m))
		}
		return errors.Join(tx.MailSent(ctx, m), audit.Append(ctx, tx, audit.Event{Env: m.Env, Kind: audit.MessageUnread, Actor: mailing,
			Detail: map[string]string{"message": m.ID, "reason": m.Err.Error()}}))
	})
	n.log.ErrorContext(ctx, "queued mail does not open", "mail", m.ID, "env", m.Env, "tries", m.Tries+1, "given_up", over, "reason", m.Err, "err", err)
}

// retryAt is when a mail is tried again.
func (n *Notifier) retryAt(m store.Mail) time.Time {
	return n.now().Add(min(firstRetry<<min(m.Tries, 10), lastRetry))
}

func (n *Notifier) sendBatch(ctx context.Context, r *route, due []store.Mail) {
	parcels := make([]parcel, len(due))
	for i, m := range due {
		parcels[i].id = m.ID
		if err := json.Unmarshal(m.Body, &parcels[i].letter); err != nil {
			n.log.ErrorContext(ctx, "queued mail is malformed", "mail", m.ID, "env", m.Env) // the mail server will refuse its empty recipient
		}
	}
	sending, cancel := context.WithTimeout(ctx, mailTimeout)
	errs := r.send(sending, n.now(), parcels...)
	cancel()
	done := make([]try, len(due))
	for i, m := range due {
		done[i] = try{m.Env, errs[i]}
	}
	n.note(ctx, done...)
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWrite)
	defer cancel()
	for i, m := range due {
		n.finish(write, m, errs[i])
	}
}

// finish records what became of one mail. Messages hold no address.
func (n *Notifier) finish(ctx context.Context, m store.Mail, failed error) {
	over := n.now().After(m.ExpiresAt) || errors.Is(failed, ErrRefused)
	err := n.store.Tx(ctx, func(tx *store.Tx) error {
		if failed == nil || over {
			return tx.MailSent(ctx, m)
		}
		return tx.MailFailed(ctx, m, n.retryAt(m))
	})
	switch {
	case failed != nil && over:
		n.log.ErrorContext(ctx, "mail given up", "mail", m.ID, "env", m.Env, "tries", m.Tries+1, "step", stepOf(failed), "reason", reason(failed))
	case failed != nil:
		n.log.WarnContext(ctx, "mail not taken", "mail", m.ID, "env", m.Env, "tries", m.Tries+1, "step", stepOf(failed), "reason", reason(failed))
	case err != nil:
		n.log.WarnContext(ctx, "sent mail stays in the outbox", "mail", m.ID, "env", m.Env, "err", err)
	}
}
