package store

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// States of an evaluation.
const (
	EvaluationRunning   = "running"
	EvaluationDone      = "done"
	EvaluationFailed    = "failed"
	EvaluationCancelled = "cancelled"
)

// How much of what a directory offers an account could have.
const (
	CouldNothing = 0
	CouldSome    = 1
	CouldAll     = 2
)

// An Evaluation is one run over the accounts of a directory, and its totals.
type Evaluation struct {
	Env, ID, Directory string
	Version            int64
	State              string
	Problem            string // why it failed, or what it waits for
	Scope              []byte // JSON of hub/evaluation; sealed; nil: everybody
	StartedBy          string
	Total, Done, Could int
	Place              string // where it goes on
	Totals             string // JSON of hub/evaluation
	DueAt              time.Time
	Created, Finished  time.Time
	Expires            time.Time // when it is deleted
}

func scopeCell(env, id string) Cell {
	return Cell{Env: env, Table: "evaluations", Column: "scope", Row: id}
}

const evaluationColumns = `env, id, directory, version, state, problem, scope, started_by, total, done, could, place, totals, due_at, created_at, finished_at, expires_at`

func (tx *Tx) scanEvaluation(scan Scan) (e Evaluation, err error) {
	var scope string
	var due, created, finished, expires int64
	err = scan(&e.Env, &e.ID, &e.Directory, &e.Version, &e.State, &e.Problem, &scope, &e.StartedBy, &e.Total, &e.Done, &e.Could, &e.Place, &e.Totals,
		&due, &created, &finished, &expires)
	if err != nil {
		return e, err
	}
	e.DueAt, e.Created, e.Finished, e.Expires = Time(due), Time(created), Time(finished), Time(expires)
	e.Scope, err = tx.openOrEmpty(scopeCell(e.Env, e.ID), scope)
	return e, err
}

// AddEvaluation begins a run, due now; ErrConflict while one of the directory runs.
func (tx *Tx) AddEvaluation(ctx context.Context, e *Evaluation) error {
	var n int64
	if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM evaluations WHERE env = $1 AND directory = $2 AND state = $3", e.Env, e.Directory, EvaluationRunning); err != nil {
		return err
	}
	if n > 0 {
		return ErrConflict
	}
	e.ID, e.Version, e.State, e.Created, e.DueAt = NewID(), 1, EvaluationRunning, tx.Now(), tx.Now()
	scope, err := tx.sealedOrEmpty(scopeCell(e.Env, e.ID), e.Scope)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO evaluations (env, id, directory, version, state, scope, started_by, total, due_at, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		e.Env, e.ID, e.Directory, e.Version, e.State, scope, e.StartedBy, e.Total, Millis(e.DueAt), Millis(e.Created), Millis(e.Expires))
	return err
}

// SaveEvaluation is the compare-and-set of a run. Another version is ErrConflict.
func (tx *Tx) SaveEvaluation(ctx context.Context, e *Evaluation) error {
	err := tx.Swap(ctx, `UPDATE evaluations SET version = version + 1, state = $4, problem = $5, total = $6, done = $7, could = $8, place = $9,
		totals = $10, due_at = $11, finished_at = $12 WHERE env = $1 AND id = $2 AND version = $3`,
		e.Env, e.ID, e.Version, e.State, e.Problem, e.Total, e.Done, e.Could, e.Place, e.Totals, Millis(e.DueAt), Millis(e.Finished))
	if err == nil {
		e.Version++
	}
	return err
}

// Evaluation returns one run.
func (tx *Tx) Evaluation(ctx context.Context, env, id string) (Evaluation, error) {
	return One(ctx, tx, tx.scanEvaluation, "SELECT "+evaluationColumns+" FROM evaluations WHERE env = $1 AND id = $2", env, id)
}

// Evaluations lists the runs over a directory, newest first.
func (tx *Tx) Evaluations(ctx context.Context, env, directory string, count int) ([]Evaluation, error) {
	return All(ctx, tx, tx.scanEvaluation, "SELECT "+evaluationColumns+` FROM evaluations
		WHERE env = $1 AND directory = $2 ORDER BY created_at DESC, id LIMIT $3`, env, directory, count)
}

// DueEvaluations lists runs of every environment with which a node must go on by now.
func (tx *Tx) DueEvaluations(ctx context.Context, now time.Time, limit int) ([]RecoveryRef, error) {
	return All(ctx, tx, scanRecoveryRef, "SELECT env, id FROM evaluations WHERE due_at > 0 AND due_at <= $1 ORDER BY due_at LIMIT $2", Millis(now), limit)
}

// PurgeEvaluations deletes the runs, with their rows, that end before now.
func (tx *Tx) PurgeEvaluations(ctx context.Context, now time.Time) error {
	_, err := tx.Exec(ctx, "DELETE FROM evaluation_rows WHERE EXISTS (SELECT 1 FROM evaluations e WHERE e.env = evaluation_rows.env AND e.id = evaluation_rows.evaluation AND e.expires_at < $1)", Millis(now))
	if err == nil {
		_, err = tx.Exec(ctx, "DELETE FROM evaluations WHERE expires_at < $1", Millis(now))
	}
	return err
}

// RemoveEvaluation deletes one run with its rows.
func (tx *Tx) RemoveEvaluation(ctx context.Context, env, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM evaluation_rows WHERE env = $1 AND evaluation = $2", env, id); err != nil {
		return err
	}
	return tx.Must(ctx, "DELETE FROM evaluations WHERE env = $1 AND id = $2", env, id)
}

// An EvaluationRow is what a run found about one account.
type EvaluationRow struct {
	Account string // row id
	Could   int    // CouldNothing …
	Reasons string // ",a,b,"
	Detail  []byte // JSON of hub/evaluation; sealed
}

func evaluationRowCell(env, evaluation, account string) Cell {
	return Cell{Env: env, Table: "evaluation_rows", Column: "detail", Row: evaluation + "/" + account}
}

// AddEvaluationRows writes rows of a run; one that is there is replaced.
func (tx *Tx) AddEvaluationRows(ctx context.Context, env, evaluation string, rows []EvaluationRow) error {
	for _, r := range rows {
		detail, err := tx.Seal(evaluationRowCell(env, evaluation, r.Account), r.Detail)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO evaluation_rows (env, evaluation, account, could, reasons, detail) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (env, evaluation, account) DO UPDATE SET could = excluded.could, reasons = excluded.reasons, detail = excluded.detail`,
			env, evaluation, r.Account, r.Could, r.Reasons, detail)
		if err != nil {
			return err
		}
	}
	return nil
}

// An EvaluationFilter narrows the rows of a run.
type EvaluationFilter struct {
	Reason string // one that an account has; "" any
	Could  *int   // nil: any
	After  string // row id of the account before; "" from the beginning
	Count  int    // at most MaxAccounts
}

// EvaluationRows lists rows of a run by row id of the account.
func (tx *Tx) EvaluationRows(ctx context.Context, env, evaluation string, f EvaluationFilter) ([]EvaluationRow, error) {
	w := where{text: "env = $1 AND evaluation = $2", args: []any{env, evaluation}}
	w.add("account > $%d", f.After, f.After != "")
	w.add("reasons LIKE $%d ESCAPE '!'", "%,"+escapeLike(f.Reason)+",%", f.Reason != "")
	if f.Could != nil {
		w.add("could = $%d", *f.Could, true)
	}
	return All(ctx, tx, func(scan Scan) (r EvaluationRow, err error) {
		var detail string
		if err := scan(&r.Account, &r.Could, &r.Reasons, &detail); err != nil {
			return r, err
		}
		r.Detail, err = tx.Unseal(evaluationRowCell(env, evaluation, r.Account), detail)
		return r, err
	}, fmt.Sprintf("SELECT account, could, reasons, detail FROM evaluation_rows WHERE %s ORDER BY account LIMIT %d", w.text, min(max(f.Count, 1), MaxAccounts+1)), w.args...)
}

// A NumberedAccount is an account with its place in the order of the store.
type NumberedAccount struct {
	Account
	Place string
}

// AccountsAfter lists accounts of a directory behind a place, "" from the beginning, that
// are members of the group whose immutable id is given, if any.
func (tx *Tx) AccountsAfter(ctx context.Context, env, directory, group, place string, count int) ([]NumberedAccount, error) {
	after, _ := strconv.ParseInt(place, 10, 64) // a place that is none is the beginning
	w := where{text: "a.env = $1 AND a.directory = $2 AND a.swept_at = 0 AND a.num > $3", args: []any{env, directory, after}}
	w.add("EXISTS (SELECT 1 FROM account_groups m WHERE m.account = a.num AND m.grp = $%d)", group, group != "")
	return All(ctx, tx, func(scan Scan) (NumberedAccount, error) {
		var num int64
		a, err := scanAccount(func(to ...any) error { return scan(append([]any{&num}, to...)...) })
		return NumberedAccount{a, strconv.FormatInt(num, 10)}, err
	}, fmt.Sprintf("SELECT a.num, %s FROM accounts a WHERE %s ORDER BY a.num LIMIT %d", accountColumns, w.text, min(max(count, 1), MaxAccounts)), w.args...)
}

// CountMembers counts the accounts of a directory that are members of a group, or all.
func (tx *Tx) CountMembers(ctx context.Context, env, directory, group string) (int, error) {
	w := where{text: "a.env = $1 AND a.directory = $2 AND a.swept_at = 0", args: []any{env, directory}}
	w.add("EXISTS (SELECT 1 FROM account_groups m WHERE m.account = a.num AND m.grp = $%d)", group, group != "")
	var n int
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM accounts a WHERE "+w.text, w.args...)
	return n, err
}
