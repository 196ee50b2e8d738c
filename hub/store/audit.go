package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An AuditRow is one event of the audit log. Leaf holds its exact bytes.
type AuditRow struct {
	ID, Org, Env, Kind, Account, Trace string
	Time                               time.Time
	Leaf                               string
}

// gatherer is a querier that writes audit rows later than it is given them: before
// anybody could see that they are not there.
type gatherer interface{ gather(row []any) }

// AppendAudit writes a row of the audit log, which gets its index later. Only hub/audit
// calls it.
func (tx *Tx) AppendAudit(ctx context.Context, r AuditRow) error {
	tx.audited = true
	row := []any{r.ID, r.Org, r.Env, r.Kind, r.Account, r.Trace, Millis(r.Time), r.Leaf}
	if g, ok := tx.q.(gatherer); ok {
		g.gather(clean(row))
		return ctx.Err()
	}
	_, err := tx.Exec(ctx, "WITH event AS (INSERT INTO audit_rows ("+auditValues+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id) INSERT INTO audit_pending (event) SELECT id FROM event", row...)
	return err
}

// An AuditFilter narrows a list of audit rows. Empty members do not narrow.
type AuditFilter struct {
	Envs        []string // "" among them stands for rows of the organisation itself
	Kinds       []string
	Account     string
	Trace       string
	From, To    string // ids, which begin with the time; From included, To not
	After       string // id of the last row of the page before
	OldestFirst bool
	Count       int // at most MaxAudit
}

// MaxAudit is the longest list of audit rows.
const MaxAudit = 1000

// maxAuditLists bounds the lists that one search merges, each read from an index in its
// order. A search for more of them reads the organisation's rows one after another.
const maxAuditLists = 64

const auditColumns = "e.id, e.org, e.env, e.kind, e.account, e.trace, e.time, e.leaf"

func scanAudit(scan Scan) (r AuditRow, err error) {
	var at int64
	err = scan(&r.ID, &r.Org, &r.Env, &r.Kind, &r.Account, &r.Trace, &at, &r.Leaf)
	r.Time = Time(at)
	return r, err
}

// AuditRow returns one row of an organisation.
func (tx *Tx) AuditRow(ctx context.Context, org, id string) (AuditRow, error) {
	return One(ctx, tx, scanAudit, "SELECT "+auditColumns+" FROM audit_events e WHERE e.id = $1 AND e.org = $2", id, org)
}

// AuditRows lists rows of an organisation, newest first unless OldestFirst. Whatever the
// filter says of environments, kinds, an account or a trace, it reads some rows more than
// it returns, however many there are.
func (tx *Tx) AuditRows(ctx context.Context, org string, f AuditFilter) ([]AuditRow, error) {
	f.Count = min(max(f.Count, 1), MaxAudit)
	recent, err := tx.recentAudit(ctx, org, f) // first: what is moved meanwhile is not missed
	if err != nil {
		return nil, err
	}
	rows, err := tx.indexedAudit(ctx, org, f)
	return f.merged(recent, rows), err
}

// indexedAudit is AuditRows without those that are recent.
func (tx *Tx) indexedAudit(ctx context.Context, org string, f AuditFilter) ([]AuditRow, error) {
	lists := max(len(f.Envs), 1) * max(len(f.Kinds), 1)
	if lists == 1 || lists > maxAuditLists || f.Account != "" || f.Trace != "" {
		w, end := f.where(org)
		return All(ctx, tx, scanAudit, "SELECT "+auditColumns+" FROM audit_rows e WHERE "+w.text+end, w.args...)
	}
	ids, err := tx.mergedAudit(ctx, org, f)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	rows := make([][]any, len(ids))
	for i, id := range ids {
		rows[i] = []any{id}
	}
	source, args := tx.s.db.source(rows)
	return All(ctx, tx, scanAudit, fmt.Sprintf("WITH listed (id) AS (%s) SELECT %s FROM listed CROSS JOIN audit_rows e WHERE e.id = listed.id ORDER BY e.id %s",
		source, auditColumns, f.order()), args...)
}

// mergedAudit returns the ids of a page from one list for each environment and kind.
func (tx *Tx) mergedAudit(ctx context.Context, org string, f AuditFilter) ([]string, error) {
	var ids []string
	for _, env := range each(f.Envs) {
		for _, kind := range each(f.Kinds) {
			one := f
			one.Envs, one.Kinds = env, kind
			w, end := one.where(org)
			some, err := All(ctx, tx, Text, "SELECT id FROM audit_rows WHERE "+w.text+end, w.args...)
			if err != nil {
				return nil, err
			}
			ids = append(ids, some...)
		}
	}
	slices.Sort(ids)
	if !f.OldestFirst {
		slices.Reverse(ids)
	}
	ids = slices.Compact(ids)
	return ids[:min(len(ids), f.Count)], nil
}

// each returns the values one by one; of none, none.
func each(values []string) [][]string {
	if len(values) == 0 {
		return [][]string{nil}
	}
	all := make([][]string, len(values))
	for i, v := range values {
		all[i] = []string{v}
	}
	return all
}

func (f AuditFilter) order() string {
	if f.OldestFirst {
		return "ASC"
	}
	return "DESC"
}

// where returns the condition and, behind it, order and length.
func (f AuditFilter) where(org string) (where, string) {
	w := where{text: "org = $1", args: []any{org}}
	w.oneOf("env", f.Envs)
	w.oneOf("kind", f.Kinds)
	w.add("account <> '' AND account = $%d", f.Account, f.Account != "") // as the index says it
	w.add("trace <> '' AND trace = $%d", f.Trace, f.Trace != "")
	w.add("id >= $%d", f.From, f.From != "")
	w.add("id < $%d", f.To, f.To != "")
	w.add("id > $%d", f.After, f.After != "" && f.OldestFirst)
	w.add("id < $%d", f.After, f.After != "" && !f.OldestFirst)
	return w, fmt.Sprintf(" ORDER BY id %s LIMIT %d", f.order(), f.Count)
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
	if len(marks) == 1 {
		w.text += " AND " + column + " = " + marks[0]
		return
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
	return k, tx.Swap(ctx, `INSERT INTO audit_persons (env, person, key_id, secret, created_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (env, person) DO UPDATE SET key_id = excluded.key_id, secret = excluded.secret, erased_at = 0 WHERE audit_persons.secret = ''`,
		env, person, k.ID, sealed, Millis(tx.Now()))
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
