package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// An AuditRow is one event of the audit log. Leaf holds its exact bytes.
type AuditRow struct {
	ID, Org, Env, Kind, Account, Trace string
	Time                               time.Time
	Leaf                               string
}

// AppendAudit writes a row of the audit log, which gets its index later. Only hub/audit
// calls it.
func (tx *Tx) AppendAudit(ctx context.Context, r AuditRow) error {
	_, err := tx.Exec(ctx, "INSERT INTO audit_events (id, org, env, kind, account, trace, time, leaf) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		r.ID, r.Org, r.Env, r.Kind, r.Account, r.Trace, Millis(r.Time), r.Leaf)
	if err == nil {
		_, err = tx.Exec(ctx, "INSERT INTO audit_pending (event) VALUES ($1)", r.ID)
	}
	tx.audited = true
	return err
}

// An AuditFilter narrows a list of audit rows. Empty members do not narrow.
type AuditFilter struct {
	Envs        []string // "" among them stands for rows of the organisation itself
	Kinds       []string
	Account     string
	Trace       string
	Start, End  time.Time // Start included, End not
	After       string    // id of the last row of the page before
	OldestFirst bool
	Count       int // at most MaxAudit
}

// MaxAudit is the longest list of audit rows.
const MaxAudit = 1000

func scanAudit(scan Scan) (r AuditRow, err error) {
	var at int64
	err = scan(&r.ID, &r.Org, &r.Env, &r.Kind, &r.Account, &r.Trace, &at, &r.Leaf)
	r.Time = Time(at)
	return r, err
}

// AuditRows lists rows of an organisation, newest first unless OldestFirst.
func (tx *Tx) AuditRows(ctx context.Context, org string, f AuditFilter) ([]AuditRow, error) {
	w := where{text: "org = $1", args: []any{org}}
	w.oneOf("env", f.Envs)
	w.oneOf("kind", f.Kinds)
	w.add("account = $%d", f.Account, f.Account != "")
	w.add("trace = $%d", f.Trace, f.Trace != "")
	w.add("time >= $%d", Millis(f.Start), !f.Start.IsZero())
	w.add("time < $%d", Millis(f.End), !f.End.IsZero())
	order := "DESC"
	if f.OldestFirst {
		order = "ASC"
	}
	w.add("id > $%d", f.After, f.After != "" && f.OldestFirst)
	w.add("id < $%d", f.After, f.After != "" && !f.OldestFirst)
	return All(ctx, tx, scanAudit, fmt.Sprintf("SELECT id, org, env, kind, account, trace, time, leaf FROM audit_events WHERE %s ORDER BY id %s LIMIT %d",
		w.text, order, min(max(f.Count, 1), MaxAudit)), w.args...)
}

// where builds a condition with its parameters.
type where struct {
	text string
	args []any
}

// add adds a condition with one parameter, if it applies.
func (w *where) add(condition string, v any, applies bool) {
	if applies {
		w.args = append(w.args, v)
		w.text += " AND " + fmt.Sprintf(condition, len(w.args))
	}
}

// oneOf adds "column is one of values", if there are any.
func (w *where) oneOf(column string, values []string) {
	if len(values) == 0 {
		return
	}
	marks := make([]string, len(values))
	for i, v := range values {
		w.args = append(w.args, v)
		marks[i] = fmt.Sprintf("$%d", len(w.args))
	}
	w.text += " AND " + column + " IN (" + strings.Join(marks, ", ") + ")"
}

// A PersonKey encrypts what the audit log says of one person.
type PersonKey struct {
	ID     string // names the key in leaves
	Secret []byte // 32 bytes; nil: erased
}

func personCell(env, person string) Cell {
	return Cell{Env: env, Table: "audit_persons", Column: "secret", Row: person}
}

// PersonKey returns the key of a person; ErrNotFound if nothing was ever said of that one.
func (tx *Tx) PersonKey(ctx context.Context, env, person string) (PersonKey, error) {
	var k PersonKey
	var sealed string
	err := tx.Row(ctx, []any{&k.ID, &sealed}, "SELECT key_id, secret FROM audit_persons WHERE env = $1 AND person = $2", env, person)
	if err == nil && sealed != "" {
		k.Secret, err = tx.Unseal(personCell(env, person), sealed)
	}
	return k, err
}

// NeedPersonKey returns the key of a person, and makes one where there is none or where
// it was erased.
func (tx *Tx) NeedPersonKey(ctx context.Context, env, person string) (PersonKey, error) {
	k, err := tx.PersonKey(ctx, env, person)
	if err == nil && k.Secret != nil || err != nil && !errors.Is(err, ErrNotFound) {
		return k, err
	}
	b := make([]byte, 8+MasterKeySize)
	_, _ = rand.Read(b) // never fails
	k = PersonKey{ID: hex.EncodeToString(b[:8]), Secret: b[8:]}
	sealed, err := tx.Seal(personCell(env, person), k.Secret)
	if err != nil {
		return PersonKey{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO audit_persons (env, person, key_id, secret, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, person) DO UPDATE SET key_id = excluded.key_id, secret = excluded.secret, erased_at = 0`,
		env, person, k.ID, sealed, Millis(tx.Now()))
	return k, err
}

// ErasePersonKey destroys the key of a person, and what webhooks were told of that one.
// ErrNotFound if there is no key.
func (tx *Tx) ErasePersonKey(ctx context.Context, env, person string) error {
	tx.erased = true
	if err := tx.eraseDeliveries(ctx, env, person); err != nil {
		return err
	}
	return tx.Must(ctx, "UPDATE audit_persons SET secret = '', erased_at = $3 WHERE env = $1 AND person = $2 AND secret <> ''",
		env, person, Millis(tx.Now()))
}
