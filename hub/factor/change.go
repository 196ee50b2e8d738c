package factor

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// maxLabel bounds a name that a person gives, in runes.
const maxLabel = 60

// Label makes of what a person typed a name that can stand in a list and in a mail.
func Label(typed string) string {
	words := strings.FieldsFunc(typed, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar })
	runes := []rune(strings.Join(words, " "))
	return strings.TrimSpace(string(runes[:min(len(runes), maxLabel)]))
}

// confirmed makes a factor count, after the wait, and tells its owner at every address
// that they have had until now.
func (f *Factors) confirmed(ctx context.Context, tx *store.Tx, o Owner, row store.Factor) error {
	contacts, err := f.addresses(ctx, tx, o)
	if err != nil {
		return err
	}
	row.ActiveAt = tx.Now().Add(f.cfg.Wait)
	if err := tx.ConfirmFactor(ctx, row); errors.Is(err, store.ErrConflict) {
		return ErrTaken
	} else if err != nil {
		return err
	}
	return f.tell(ctx, tx, o, contacts, row, Added)
}

// tell queues the notice and writes the audit event.
func (f *Factors) tell(ctx context.Context, tx *store.Tx, o Owner, to protocol.Contacts, row store.Factor, what Change) error {
	token := newSecret()
	until := tx.Now().Add(objectionLife)
	n := Notice{Env: o.Env, Account: o.Name, Contacts: to, Change: what, Kind: row.Kind, Label: row.Label, Counts: row.ActiveAt, At: tx.Now(),
		ClientAddress: o.ClientAddress, ClientDevice: o.ClientDevice, Language: o.Language, Origin: o.Origin, Token: protocol.NewSecret(token), Until: until}
	kinds := map[Change]audit.Kind{Added: audit.FactorAdded, Removed: audit.FactorRemoved, Used: audit.FactorUsed, Disowned: audit.FactorRemoved}
	return errors.Join(
		f.cfg.Notices.QueueFactor(ctx, tx, n),
		tx.AddObjection(ctx, store.Objection{Hash: hashOf([]byte(token)), Env: o.Env, Recovery: o.Recovery, Directory: o.Directory, Account: o.Account,
			Action: string(protocol.ActionOptions), ExpiresAt: until}),
		audit.Append(ctx, tx, audit.Event{Env: o.Env, Kind: kinds[what], Account: o.Person, Trace: o.Recovery, RemoteAddr: o.ClientAddress, UserAgent: o.ClientDevice,
			Detail: map[string]any{"factor": row.ID, "kind": row.Kind, "change": what, "enrolled_by": row.EnrolledBy, "rests_on": row.Roots, "enrolled_in": row.Recovery, "counts_from": row.ActiveAt.UTC()}}),
	)
}

// objectionLife is how long "this was not me" works: longer than something new waits.
const objectionLife = 7 * 24 * time.Hour

// addresses are all that the owner has had until now: those of the directory, read live,
// and recovery addresses that count or wait.
func (f *Factors) addresses(ctx context.Context, tx *store.Tx, o Owner) (protocol.Contacts, error) {
	c := o.Contacts
	all, err := tx.Factors(ctx, o.Env, o.Directory, o.Account)
	for _, row := range all {
		if row.Kind == Mail && !row.ActiveAt.IsZero() {
			c.Mail = append(c.Mail[:len(c.Mail):len(c.Mail)], string(row.Secret))
		}
	}
	return c, err
}

// Rename gives a factor another name.
func (f *Factors) Rename(ctx context.Context, o Owner, id, label string) error {
	return f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		if _, err := own(ctx, tx, o, id); err != nil {
			return err
		}
		return tx.RenameFactor(ctx, o.Env, id, Label(label))
	})
}

// Remove deletes a factor at once, a passkey at the directory's agents too. Its owner is told at every address, a removed one too.
func (f *Factors) Remove(ctx context.Context, o Owner, id string) error {
	err := f.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		row, err := own(ctx, tx, o, id)
		if err != nil {
			return err
		}
		return f.remove(ctx, tx, o, Removed, row)
	})
	if err == nil {
		f.cfg.Notices.Wake()
	}
	return err
}

// remove deletes factors of one owner, and tells them of those that were confirmed.
func (f *Factors) remove(ctx context.Context, tx *store.Tx, o Owner, why Change, rows ...store.Factor) error {
	contacts, err := f.addresses(ctx, tx, o)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := f.drop(ctx, tx, row); err != nil {
			return err
		}
		if row.ActiveAt.IsZero() {
			continue
		}
		if err := f.tell(ctx, tx, o, contacts, row, why); err != nil {
			return err
		}
	}
	return nil
}

// drop is the one place where a factor ends before its account does. A passkey leaves
// the directory's agents too.
func (f *Factors) drop(ctx context.Context, tx *store.Tx, row store.Factor) error {
	if err := removeAtAgents(ctx, tx, row); err != nil {
		return err
	}
	return tx.RemoveFactor(ctx, row.Env, row.ID)
}
