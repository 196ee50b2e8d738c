package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// AccountDigest is a short hash of everything that a directory said of an account.
// Equal digests mean that nothing has to be written.
func AccountDigest(a protocol.Account) string {
	a.UpdatedAt = time.Time{} // changes with each sign-in in some directories, and nothing is made of it
	h := sha256.Sum256([]byte(JSON(a)))
	return base64.RawStdEncoding.EncodeToString(h[:16])
}

// A KnownAccount is what a pass compares with.
type KnownAccount struct {
	ImmutableID, Digest string
	Swept               bool
}

// KnownAccounts yields every account of a directory, swept ones included.
func (tx *Tx) KnownAccounts(ctx context.Context, env, directory string, yield func(KnownAccount)) error {
	_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
		var k KnownAccount
		if err = scan(&k.ImmutableID, &k.Digest, &k.Swept); err == nil {
			yield(k)
		}
		return none, err
	}, "SELECT immutable_id, digest, CASE swept_at WHEN 0 THEN 0 ELSE 1 END FROM accounts WHERE env = $1 AND directory = $2", env, directory)
	return err
}

// An AccountWrite is an account with its digest, which the caller has computed to find
// out whether the account must be written.
type AccountWrite struct {
	protocol.Account
	Digest string
}

// PutAccounts writes accounts that are new or differ from what is stored; a swept one
// comes back. A row keeps its id. No immutable id may be there twice. The caller bounds
// the batch, so that others wait for milliseconds only.
func (tx *Tx) PutAccounts(ctx context.Context, env, directory string, generation int64, batch []AccountWrite) error {
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return err
	}
	rows, err := tx.numbered(ctx, directory, batch)
	if err != nil {
		return err
	}
	now := Millis(tx.Now())
	var fresh, changed, old, identifiers, memberships [][]any
	for i, a := range batch {
		num, key := rows[i].num, rows[i].key
		spelled, disabled := JSON(a.Identifiers), Flag(a.Disabled)
		if rows[i].fresh {
			fresh = append(fresh, []any{num, newOrderedID(tx.Now()), env, directory, a.ID, key, a.Name, spelled, a.BirthDate, disabled, a.Digest, generation, now})
		} else {
			changed = append(changed, []any{num, a.Name, spelled, a.BirthDate, disabled, a.Digest, generation})
			old = append(old, []any{num})
		}
		for _, text := range distinct(a.Identifiers, NormalIdentifier) {
			identifiers = append(identifiers, []any{text, num})
		}
		for _, g := range distinct(a.Groups, func(g protocol.Group) string { return g.ID }) {
			memberships = append(memberships, []any{num, g})
		}
	}
	return tx.bulk(ctx, bulk{insertAccounts, "", fresh},
		bulk{updateAccounts[0], updateAccounts[1], changed},
		bulk{"WITH old (num) AS (", ") DELETE FROM account_identifiers WHERE account IN (SELECT num FROM old)", old},
		bulk{"WITH old (num) AS (", ") DELETE FROM account_groups WHERE account IN (SELECT num FROM old)", old},
		bulk{"INSERT INTO account_identifiers (identifier, account) ", "", identifiers},
		bulk{"INSERT INTO account_groups (account, grp) ", "", memberships})
}

const insertAccounts = `INSERT INTO accounts
	(num, id, env, directory, immutable_id, key, name, identifiers, birth_date, disabled, digest, generation, created_at) `

// updateAccounts is what stands before and after the rows.
var updateAccounts = [2]string{"WITH changed (num, name, identifiers, birth_date, disabled, digest, generation) AS (",
	`) UPDATE accounts SET name = changed.name, identifiers = changed.identifiers, birth_date = changed.birth_date,
	disabled = changed.disabled, digest = changed.digest, generation = changed.generation, swept_at = 0
	FROM changed WHERE accounts.num = changed.num`}

// distinct returns the keys of values, each once and none empty.
func distinct[T any](values []T, key func(T) string) []string {
	all := make([]string, 0, len(values))
	for _, v := range values {
		if k := key(v); k != "" && !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	return all
}

// numberedRow is where an account is written.
type numberedRow struct {
	key   string
	num   int64
	fresh bool // it is not there yet
}

// numbered finds the rows of accounts that are there, and gives numbers to the others.
// That is cheaper than to have the database give them and say which ones.
func (tx *Tx) numbered(ctx context.Context, directory string, batch []AccountWrite) ([]numberedRow, error) {
	rows, keys := make([]numberedRow, len(batch)), make([][]any, len(batch))
	for i, a := range batch {
		rows[i].key = accountKey(directory, a.ID)
		keys[i] = []any{rows[i].key}
	}
	there := map[string]int64{}
	for chunk := range slices.Chunk(keys, bulkRows) {
		source, args := tx.s.db.source(chunk)
		_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
			var num int64
			var key string
			err = scan(&num, &key)
			there[key] = num
			return none, err
		}, "WITH listed (key) AS ("+source+") SELECT accounts.num, accounts.key FROM listed JOIN accounts ON accounts.key = listed.key", args...)
		if err != nil {
			return nil, err
		}
	}
	next, err := tx.s.db.numbers(ctx, tx.q, len(batch)-len(there))
	if err != nil {
		return nil, mapError(err)
	}
	for i := range rows {
		r := &rows[i]
		var known bool
		if r.num, known = there[r.key]; !known {
			r.num, r.fresh, next = next[0], true, next[1:]
		}
	}
	return rows, nil
}

// bulk is one statement for many rows. Between before and after stands what gives the
// rows in the database's fastest form.
type bulk struct {
	before, after string
	rows          [][]any
}

// bulkRows is how many rows one statement takes: a megabyte at most in ordinary
// directories.
const bulkRows = 2000

func (tx *Tx) bulk(ctx context.Context, all ...bulk) error {
	for _, b := range all {
		for chunk := range slices.Chunk(b.rows, bulkRows) {
			source, args := tx.s.db.source(chunk)
			if _, err := tx.Exec(ctx, b.before+source+b.after, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrays is PostgreSQL's source of rows: one array for each column. The planner looks at
// a handful of parameters, not at thousands.
func arrays(rows [][]any) (source string, args []any) {
	columns := make([]string, len(rows[0]))
	for j, v := range rows[0] {
		if _, number := v.(int64); number {
			args, columns[j] = append(args, column[int64](rows, j)), fmt.Sprintf("$%d::bigint[]", j+1)
		} else {
			args, columns[j] = append(args, column[string](rows, j)), fmt.Sprintf("$%d::text[]", j+1)
		}
	}
	return "SELECT * FROM unnest(" + strings.Join(columns, ", ") + ")", args
}

// column returns the values of one column, all of one type.
func column[T any](rows [][]any, j int) []T {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i], _ = row[j].(T)
	}
	return values
}

// jsonRows is SQLite's source of rows: a JSON array of arrays as one parameter, and one
// for each column that is the same in all rows. A call of SQLite for each row, or long
// VALUES, cost several times as much. LIMIT keeps SQLite from writing a row's text anew
// for each of its columns, WHERE an ON CONFLICT that follows from being read as part of a
// join.
func jsonRows(rows [][]any) (source string, args []any) {
	args = make([]any, 1, 1+len(rows[0]))
	varying := make([][]any, len(rows))
	columns := make([]string, len(rows[0]))
	for j := range columns {
		if same(rows, j) {
			args = append(args, rows[0][j])
			columns[j] = "$" + strconv.Itoa(len(args))
			continue
		}
		columns[j] = fmt.Sprintf("json_extract(v, '$[%d]')", len(varying[0]))
		for i, row := range rows {
			varying[i] = append(varying[i], row[j])
		}
	}
	args[0] = JSON(varying)
	return "SELECT " + strings.Join(columns, ", ") + " FROM (SELECT value AS v FROM json_each($1) LIMIT -1) WHERE TRUE", args
}

// same reports whether a column of strings and numbers has one value.
func same(rows [][]any, column int) bool {
	return !slices.ContainsFunc(rows, func(row []any) bool { return row[column] != rows[0][column] })
}

// PutGroups writes groups of a directory that are new or have another name or kind.
func (tx *Tx) PutGroups(ctx context.Context, env, directory string, groups []protocol.Group) error {
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return err
	}
	rows := make([][]any, len(groups))
	for i, g := range groups {
		rows[i] = []any{env, directory, g.ID, g.Name, g.Kind}
	}
	return tx.bulk(ctx, bulk{"INSERT INTO directory_groups (env, directory, immutable_id, name, kind) ",
		" ON CONFLICT (directory, immutable_id) DO UPDATE SET name = excluded.name, kind = excluded.kind", rows})
}

// AllGroups returns the groups of a directory, for a pass to compare with.
func (tx *Tx) AllGroups(ctx context.Context, env, directory string) ([]protocol.Group, error) {
	return All(ctx, tx, scanGroup, "SELECT immutable_id, name, kind FROM directory_groups WHERE env = $1 AND directory = $2", env, directory)
}

// SweepAccounts hides accounts: nothing finds them, nothing is done for them. What is
// bound to them is kept until PurgeAccounts, in case they come back.
func (tx *Tx) SweepAccounts(ctx context.Context, env, directory string, immutableIDs []string) error {
	now := Millis(tx.Now())
	rows := make([][]any, len(immutableIDs))
	for i, id := range immutableIDs {
		rows[i] = []any{accountKey(directory, id), env, directory, now}
	}
	return tx.bulk(ctx, bulk{"WITH gone (key, env, directory, at) AS (", `) UPDATE accounts SET swept_at = gone.at FROM gone
		WHERE accounts.key = gone.key AND accounts.env = gone.env AND accounts.directory = gone.directory AND accounts.swept_at = 0`, rows})
}

// sweptKept is how long a swept account's bound data is kept (DESIGN: 30 days).
const sweptKept = 30 * 24 * time.Hour

// PurgeAccounts removes accounts that were swept 30 days ago, a bounded number at once.
// It returns how many.
func (tx *Tx) PurgeAccounts(ctx context.Context) (int64, error) {
	return tx.removeAccounts(ctx, `num IN (SELECT num FROM accounts WHERE swept_at > 0 AND swept_at < $1 ORDER BY swept_at, num LIMIT 1000)`,
		Millis(tx.Now().Add(-sweptKept)))
}

// removeAccounts removes accounts and what belongs to each, which the database does not
// follow by itself. It returns how many.
func (tx *Tx) removeAccounts(ctx context.Context, where string, args ...any) (int64, error) {
	for _, table := range []string{"account_identifiers", "account_groups"} {
		_, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE account IN (SELECT num FROM accounts WHERE "+where+")", args...)
		if err != nil {
			return 0, err
		}
	}
	return tx.Exec(ctx, "DELETE FROM accounts WHERE "+where, args...)
}

// CountAccounts counts the accounts of a directory, swept ones excluded.
func (tx *Tx) CountAccounts(ctx context.Context, env, directory string) (n int, err error) {
	err = tx.Row(ctx, []any{&n}, "SELECT count(*) FROM accounts WHERE env = $1 AND directory = $2 AND swept_at = 0", env, directory)
	return n, err
}
