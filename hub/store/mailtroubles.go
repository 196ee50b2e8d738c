package store

import (
	"context"
	"slices"
	"time"
)

// A MailTrouble says that a node cannot send the mails of an environment.
type MailTrouble struct {
	Node   string    // name of its machine
	Since  time.Time // when it began
	Last   time.Time // when it was last tried
	Step   string    // at which the last try ended, a word of package notify
	Reason string    // of the last try; no address
}

// Numbers of mail that is not taken.
const (
	refusalsInARow = 3             // an address may be wrong; that so many are, one after the other, is unlikely
	troubleLife    = 2 * time.Hour // without a try, of a node that is gone, once another one sends; longer than the outbox waits between tries
)

// MailStuck says that a node's mail server did not take a mail; the store knows the times.
// alone is true where that may be the mail's own fault: then only several in a row are trouble. began reports
// whether the environment has had no trouble until now; of several nodes, one is told so.
func (tx *Tx) MailStuck(ctx context.Context, env string, t MailTrouble, alone bool) (began bool, err error) {
	before, err := tx.MailTroubles(ctx, env)
	if err != nil {
		return false, err
	}
	now, refusals := Millis(tx.Now()), 0
	if alone {
		refusals = 1
	}
	_, err = tx.Exec(ctx, `INSERT INTO mail_troubles (env, node, since, last, step, reason, refusals) VALUES ($1, $2, 0, $3, $4, $5, $6)
		ON CONFLICT (env, node) DO UPDATE SET last = excluded.last, step = excluded.step, reason = excluded.reason, refusals = mail_troubles.refusals + excluded.refusals`,
		env, t.Node, now, t.Step, t.Reason, refusals)
	if err != nil {
		return false, err
	}
	enough := 0
	if alone {
		enough = refusalsInARow
	}
	n, err := tx.Exec(ctx, `UPDATE mail_troubles SET since = $3 WHERE env = $1 AND node = $2 AND since = 0 AND refusals >= $4`, env, t.Node, now, enough)
	return n == 1 && len(before) == 0, err
}

// MailFlows says that the mail server took a mail of a node. It returns the environments
// whose trouble is over with that: no other node has any, or none that was tried lately.
func (tx *Tx) MailFlows(ctx context.Context, node string) (over []string, err error) {
	const inTrouble = "SELECT DISTINCT env FROM mail_troubles WHERE since > 0 ORDER BY env"
	had, err := All(ctx, tx, Text, inTrouble)
	if err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, "DELETE FROM mail_troubles WHERE node = $1 OR last < $2", node, Millis(tx.Now().Add(-troubleLife)))
	if err != nil {
		return nil, err
	}
	have, err := All(ctx, tx, Text, inTrouble)
	return slices.DeleteFunc(had, func(env string) bool { return slices.Contains(have, env) }), err
}

// AnyMailStuck reports whether any node has met a mail of any environment that was not
// taken: whether there is something that MailFlows could end.
func (tx *Tx) AnyMailStuck(ctx context.Context) (bool, error) {
	var n int
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM mail_troubles")
	return n > 0, err
}

// MailTroubles returns which nodes cannot send the mails of an environment, the longest
// trouble first.
func (tx *Tx) MailTroubles(ctx context.Context, env string) ([]MailTrouble, error) {
	return All(ctx, tx, func(scan Scan) (t MailTrouble, err error) {
		var since, last int64
		err = scan(&t.Node, &since, &last, &t.Step, &t.Reason)
		t.Since, t.Last = Time(since), Time(last)
		return t, err
	}, "SELECT node, since, last, step, reason FROM mail_troubles WHERE env = $1 AND since > 0 ORDER BY since, node", env)
}
