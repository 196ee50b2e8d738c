package store

import (
	"context"
	"time"
)

// An Act is one account operation that an administrator asked for.
type Act struct {
	Env, ID          string
	Directory        string
	Account          string // canonical immutable id
	Person           string // row id of the account
	Operation        string // canonical
	Agent, AgentPart string
	NotAfter         int64 // Unix seconds
	Context          string
	Entry            string // row of the audit log
	State            string
	Code             string
	Reason           string // of the refusal, where the agent knows one
	Changes          string // JSON of []protocol.Difference
	Body             []byte // sealed; what travels beside the operation, until somebody sends it. Act alone reads it
	Created          time.Time
	Due              time.Time // zero: it ended
}

// maxActs bounds how many of one account are listed.
const maxActs = 100

// keepActs is how long ended ones are listed; the audit log keeps them as long as it says.
const keepActs = 90 * 24 * time.Hour

const actColumns = `env, id, directory, account, person, operation, agent, agent_part, not_after, context, entry, state, code, changes, created_at, due_at, body, reason`

func actCell(env, id string) Cell {
	return Cell{Env: env, Table: "account_acts", Column: "body", Row: id}
}

// AddAct writes an account operation that may be sent now.
func (tx *Tx) AddAct(ctx context.Context, a Act) error {
	body := ""
	if len(a.Body) > 0 {
		var err error
		if body, err = tx.Seal(actCell(a.Env, a.ID), a.Body); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO account_acts (`+actColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		a.Env, a.ID, a.Directory, a.Account, a.Person, a.Operation, a.Agent, a.AgentPart, a.NotAfter, a.Context, a.Entry, a.State, a.Code, a.Changes, Millis(a.Created), Millis(a.Due), body, a.Reason)
	return err
}

// Act returns one account operation.
func (tx *Tx) Act(ctx context.Context, env, id string) (Act, error) {
	a, err := One(ctx, tx, scanAct, `SELECT `+actColumns+` FROM account_acts WHERE env = $1 AND id = $2`, env, id)
	if err == nil && len(a.Body) > 0 {
		a.Body, err = tx.Unseal(actCell(env, id), string(a.Body))
	}
	return a, err
}

// ActsOf lists the account operations of an account, by its row id, newest first.
func (tx *Tx) ActsOf(ctx context.Context, env, person string) ([]Act, error) {
	return All(ctx, tx, scanAct, `SELECT `+actColumns+` FROM account_acts WHERE env = $1 AND person = $2 ORDER BY created_at DESC, id LIMIT $3`, env, person, maxActs)
}

// MoveAct changes the state of an account operation that is in the state from, with its
// code and when it is due, and forgets its body; else ErrConflict.
func (tx *Tx) MoveAct(ctx context.Context, a Act, from string) error {
	return tx.Swap(ctx, `UPDATE account_acts SET state = $4, code = $5, due_at = $6, reason = $7, body = '' WHERE env = $1 AND id = $2 AND state = $3`,
		a.Env, a.ID, from, a.State, a.Code, Millis(a.Due), a.Reason)
}

// DueActs lists at most n account operations that have not ended and are due.
func (tx *Tx) DueActs(ctx context.Context, n int) ([]Act, error) {
	return All(ctx, tx, scanAct, `SELECT `+actColumns+` FROM account_acts WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at, id LIMIT $2`, Millis(tx.Now()), n)
}

func (tx *Tx) purgeActs(ctx context.Context) error {
	_, err := tx.Exec(ctx, `DELETE FROM account_acts WHERE due_at = 0 AND created_at < $1`, Millis(tx.Now().Add(-keepActs)))
	return err
}

func scanAct(scan Scan) (a Act, err error) {
	var created, due int64
	err = scan(&a.Env, &a.ID, &a.Directory, &a.Account, &a.Person, &a.Operation, &a.Agent, &a.AgentPart, &a.NotAfter, &a.Context, &a.Entry, &a.State, &a.Code, &a.Changes, &created, &due, &a.Body, &a.Reason)
	a.Created, a.Due = Time(created), Time(due)
	return a, err
}
