package store

import (
	"context"
	"encoding/base64"
	"time"
)

// A Recovery is the persisted state of one recovery. Flow owns the meaning of its
// states; the store only keeps them and swaps versions.
type Recovery struct {
	Env, ID string
	Version int64
	State   string
	Ending  string

	Session  string // SHA-256 of the session's secret, base64
	Address  string // keyed hash of the address
	Private  []byte // JSON that flow reads; sealed at rest; nil once it is not needed
	Intent   string // JSON that flow reads
	Link     string // jti of the presigned link
	Language string
	Origin   string

	Directory, Action string
	Account           string // canonical immutable id; "" for a decoy
	Person            string // row id of that account
	Strength          string
	Tasks             string // canonical text
	Problem, Message  string

	Agent      string
	AgentPart  string // base64url
	NotAfter   int64  // Unix seconds by the agent's clock
	Recipient  []byte
	Context    string
	Operation  string // id of the frame that was sent last
	Result     []byte // what the agent sealed; sealed once more at rest
	MustChange bool
	Trial      bool   // the agent evaluates it, and changes nothing
	Entry      string // id of the row of the audit log that says what the agent is asked

	Attempts    int64
	ResultUntil time.Time
	DueAt       time.Time // when a node must look again; zero: never
	PressedAt   time.Time
	RetryAt     time.Time
	ExpiresAt   time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

func recoveryCell(env, id, column string) Cell {
	return Cell{Env: env, Table: "recoveries", Column: column, Row: id}
}

// sealedOrEmpty returns the sealed form of a column, "" for nothing.
func (tx *Tx) sealedOrEmpty(c Cell, plain []byte) (string, error) {
	if len(plain) == 0 {
		return "", nil
	}
	return tx.Seal(c, plain)
}

func (tx *Tx) openOrEmpty(c Cell, sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	return tx.Unseal(c, sealed)
}

// AddRecovery inserts r as version 1. Created and updated times are the transaction's.
func (tx *Tx) AddRecovery(ctx context.Context, r *Recovery) error {
	private, err := tx.sealedOrEmpty(recoveryCell(r.Env, r.ID, "private"), r.Private)
	if err != nil {
		return err
	}
	r.Version, r.CreatedAt, r.UpdatedAt = 1, tx.Now(), tx.Now()
	_, err = tx.Exec(ctx, `INSERT INTO recoveries (env, id, version, state, session, address, private, intent, link,
		language, origin, due_at, expires_at, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		r.Env, r.ID, r.Version, r.State, r.Session, r.Address, private, r.Intent, r.Link,
		r.Language, r.Origin, Millis(r.DueAt), Millis(r.ExpiresAt), Millis(r.CreatedAt), Millis(r.UpdatedAt))
	return err
}

const recoveryColumns = `env, id, version, state, ending, session, address, private, intent, link, language, origin,
	directory, action, account, person, strength, tasks, problem, message, agent, agent_part, not_after, recipient, context,
	operation, result, must_change, attempts, result_until, due_at, pressed_at, retry_at, expires_at, created_at, updated_at, trial, entry`

// Recovery returns one recovery.
func (tx *Tx) Recovery(ctx context.Context, env, id string) (Recovery, error) {
	return One(ctx, tx, tx.scanRecovery, `SELECT `+recoveryColumns+` FROM recoveries WHERE env = $1 AND id = $2`, env, id)
}

func (tx *Tx) scanRecovery(scan Scan) (Recovery, error) {
	var r Recovery
	var private, recipient, result string
	var mustChange, trial int64
	var at [7]int64
	err := scan(&r.Env, &r.ID, &r.Version, &r.State, &r.Ending, &r.Session, &r.Address, &private, &r.Intent, &r.Link, &r.Language, &r.Origin,
		&r.Directory, &r.Action, &r.Account, &r.Person, &r.Strength, &r.Tasks, &r.Problem, &r.Message, &r.Agent, &r.AgentPart, &r.NotAfter, &recipient, &r.Context,
		&r.Operation, &result, &mustChange, &r.Attempts, &at[0], &at[1], &at[2], &at[3], &at[4], &at[5], &at[6], &trial, &r.Entry)
	if err != nil {
		return r, err
	}
	r.MustChange, r.Trial = mustChange != 0, trial != 0
	for i, t := range []*time.Time{&r.ResultUntil, &r.DueAt, &r.PressedAt, &r.RetryAt, &r.ExpiresAt, &r.CreatedAt, &r.UpdatedAt} {
		*t = Time(at[i])
	}
	if r.Recipient, err = base64.RawURLEncoding.DecodeString(recipient); err != nil {
		return r, err
	}
	if r.Private, err = tx.openOrEmpty(recoveryCell(r.Env, r.ID, "private"), private); err != nil {
		return r, err
	}
	r.Result, err = tx.openOrEmpty(recoveryCell(r.Env, r.ID, "result"), result)
	return r, err
}

// SaveRecovery is the one compare-and-set of a recovery: it writes every member that
// can change if the row still has r.Version, and counts the version up. Another
// version is ErrConflict and r is as before.
func (tx *Tx) SaveRecovery(ctx context.Context, r *Recovery) error {
	private, err := tx.sealedOrEmpty(recoveryCell(r.Env, r.ID, "private"), r.Private)
	if err != nil {
		return err
	}
	result, err := tx.sealedOrEmpty(recoveryCell(r.Env, r.ID, "result"), r.Result)
	if err != nil {
		return err
	}
	now := tx.Now()
	err = tx.Swap(ctx, `UPDATE recoveries SET version = version + 1, state = $4, ending = $5, private = $6, directory = $7,
		action = $8, account = $9, person = $10, strength = $11, tasks = $12, problem = $13, message = $14, agent = $15, agent_part = $16,
		not_after = $17, recipient = $18, context = $19, operation = $20, result = $21, must_change = $22,
		attempts = $23, result_until = $24, due_at = $25, pressed_at = $26, retry_at = $27, expires_at = $28, updated_at = $29, trial = $30, entry = $31
		WHERE env = $1 AND id = $2 AND version = $3`,
		r.Env, r.ID, r.Version, r.State, r.Ending, private, r.Directory,
		r.Action, r.Account, r.Person, r.Strength, r.Tasks, r.Problem, r.Message, r.Agent, r.AgentPart,
		r.NotAfter, base64.RawURLEncoding.EncodeToString(r.Recipient), r.Context, r.Operation, result, Flag(r.MustChange),
		r.Attempts, Millis(r.ResultUntil), Millis(r.DueAt), Millis(r.PressedAt), Millis(r.RetryAt), Millis(r.ExpiresAt), Millis(now), Flag(r.Trial), r.Entry)
	if err == nil {
		r.Version, r.UpdatedAt = r.Version+1, now
	}
	return err
}

// A RecoveryRef names a recovery.
type RecoveryRef struct{ Env, ID string }

func scanRecoveryRef(scan Scan) (r RecoveryRef, err error) {
	err = scan(&r.Env, &r.ID)
	return r, err
}

// DueRecoveries lists recoveries of every environment at which a node must look by now.
func (tx *Tx) DueRecoveries(ctx context.Context, now time.Time, limit int) ([]RecoveryRef, error) {
	return All(ctx, tx, scanRecoveryRef, `SELECT env, id FROM recoveries WHERE due_at > 0 AND due_at <= $1
		ORDER BY due_at LIMIT $2`, Millis(now), limit)
}

// overdue are the rows that wait for no person and are due later than $1.
const overdue = "due_at > $1 AND state IN ('preparing', 'asking', 'cleared', 'sent')"

// DueTooLate reports whether anything that waits for no person is due later than latest.
func (tx *Tx) DueTooLate(ctx context.Context, latest time.Time) (bool, error) {
	var n int
	err := tx.Row(ctx, []any{&n}, "SELECT CASE WHEN EXISTS (SELECT 1 FROM recoveries WHERE "+overdue+") OR EXISTS (SELECT 1 FROM account_acts WHERE "+overdue+
		") THEN 1 ELSE 0 END", Millis(latest))
	return n > 0, err
}

// HastenDue makes due now what DueTooLate finds, and returns how many rows there were.
func (tx *Tx) HastenDue(ctx context.Context, now, latest time.Time) (int64, error) {
	recoveries, err := tx.Exec(ctx, "UPDATE recoveries SET due_at = $2 WHERE "+overdue, Millis(latest), Millis(now))
	if err != nil {
		return 0, err
	}
	acts, err := tx.Exec(ctx, "UPDATE account_acts SET due_at = $2 WHERE "+overdue, Millis(latest), Millis(now))
	return recoveries + acts, err
}

// RecoveriesOf lists the recoveries of one account whose state is one of states.
func (tx *Tx) RecoveriesOf(ctx context.Context, env, directory, account string, states []string) ([]Recovery, error) {
	all, err := All(ctx, tx, tx.scanRecovery, `SELECT `+recoveryColumns+` FROM recoveries
		WHERE env = $1 AND directory = $2 AND account = $3 AND updated_at > $4 ORDER BY id`,
		env, directory, account, Millis(tx.Now().Add(-openRecoveries)))
	return keep(all, states), err
}

// openRecoveries is longer than any recovery stays open: 24 hours and some slack.
const openRecoveries = 26 * time.Hour

func keep(all []Recovery, states []string) []Recovery {
	var kept []Recovery
	for _, r := range all {
		for _, s := range states {
			if r.State == s {
				kept = append(kept, r)
				break
			}
		}
	}
	return kept
}

// RecentRecoveries lists the latest recoveries of an environment that concern an
// account, newest first.
func (tx *Tx) RecentRecoveries(ctx context.Context, env string, limit int) ([]Recovery, error) {
	return All(ctx, tx, tx.scanRecovery, `SELECT `+recoveryColumns+` FROM recoveries
		WHERE env = $1 AND account <> '' ORDER BY created_at DESC, id LIMIT $2`, env, limit)
}

// PurgeRecoveries deletes what ended before the time given, and decoys that ended
// before theirs, with verifications and codes, at most limit at once. It returns how many.
func (tx *Tx) PurgeRecoveries(ctx context.Context, before, decoysBefore time.Time, limit int) (int, error) {
	refs, err := All(ctx, tx, scanRecoveryRef, `SELECT env, id FROM recoveries WHERE due_at = 0
		AND (updated_at < $1 OR account = '' AND updated_at < $2) LIMIT $3`, Millis(before), Millis(decoysBefore), limit)
	if err != nil {
		return 0, err
	}
	for _, r := range refs {
		for _, q := range []string{
			`DELETE FROM handovers WHERE env = $1 AND recovery = $2`,
			`DELETE FROM evidence WHERE env = $1 AND verification IN (SELECT id FROM verifications WHERE env = $1 AND recovery = $2)`,
			`DELETE FROM codes WHERE env = $1 AND verification IN (SELECT id FROM verifications WHERE env = $1 AND recovery = $2)`,
			`DELETE FROM verifications WHERE env = $1 AND recovery = $2`,
			`DELETE FROM recoveries WHERE env = $1 AND id = $2`,
		} {
			if _, err := tx.Exec(ctx, q, r.Env, r.ID); err != nil {
				return 0, err
			}
		}
	}
	return len(refs), nil
}
