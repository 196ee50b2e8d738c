package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// AccountDigest is a short hash of everything that a directory said of an account.
// Equal digests mean that nothing has to be written.
func AccountDigest(a protocol.Account) string { // without UpdatedAt: it changes with each sign-in in some directories, and nothing is made of it
	b := make([]byte, 0, 512)
	texts := func(all ...string) {
		for _, s := range all {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	texts(a.ID, a.Name, a.BirthDate)
	b = binary.AppendUvarint(b, uint64(len(a.Identifiers))<<1|uint64(Flag(a.Disabled)))
	texts(a.Identifiers...)
	for _, g := range a.Groups {
		texts(g.ID, g.Name, g.Kind)
	}
	h := sha256.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(h[:16])
}

// A KnownAccount is what a pass compares with.
type KnownAccount struct {
	Row                 int64 // of its row; never 0
	ImmutableID, Digest string
	Swept               bool
}

// KnownAccounts yields every account of a directory, swept ones included.
func (tx *Tx) KnownAccounts(ctx context.Context, env, directory string, yield func(KnownAccount)) error {
	return tx.known(ctx, yield, "SELECT "+knownColumns+" FROM accounts WHERE env = $1 AND directory = $2", env, directory)
}

// KnownAmong is KnownAccounts for those with some immutable ids.
func (tx *Tx) KnownAmong(ctx context.Context, env, directory string, immutableIDs []string, yield func(KnownAccount)) error {
	for chunk := range slices.Chunk(immutableIDs, bulkRows) {
		rows := make([][]any, len(chunk))
		for i, id := range chunk {
			rows[i] = []any{accountKey(directory, id)}
		}
		source, args := tx.s.db.source(rows)
		// CROSS keeps SQLite from going through the environment and looking each up in the list.
		query := fmt.Sprintf("WITH listed (key) AS (%s) SELECT %s FROM listed CROSS JOIN accounts WHERE accounts.key = listed.key AND env = $%d AND directory = $%d",
			source, knownColumns, len(args)+1, len(args)+2)
		if err := tx.known(ctx, yield, query, append(args, env, directory)...); err != nil {
			return err
		}
	}
	return nil
}

const knownColumns = "num, immutable_id, digest, CASE swept_at WHEN 0 THEN 0 ELSE 1 END"

func (tx *Tx) known(ctx context.Context, yield func(KnownAccount), query string, args ...any) error {
	_, err := All(ctx, tx, func(scan Scan) (none struct{}, err error) {
		var k KnownAccount
		if err = scan(&k.Row, &k.ImmutableID, &k.Digest, &k.Swept); err == nil {
			yield(k)
		}
		return none, err
	}, query, args...)
	return err
}

// An AccountWrite is an account with its digest, which the caller has computed to find
// out whether the account must be written.
type AccountWrite struct {
	protocol.Account
	Digest string
	Row    int64 // KnownAccount.Row; 0: it is new
}

// PutAccounts writes accounts that are new or differ from what is stored; a swept one
// comes back. A row keeps its id. No immutable id may be there twice. The caller bounds
// the batch, so that others wait for milliseconds only. ErrConflict: a new one is there
// already, or the row of another one is gone.
func (tx *Tx) PutAccounts(ctx context.Context, env, directory string, generation int64, batch []AccountWrite) error {
	if _, err := tx.Directory(ctx, env, directory); err != nil {
		return err
	}
	fresh := 0
	for _, a := range batch {
		if a.Row == 0 {
			fresh++
		}
	}
	numbers, err := tx.s.db.numbers(ctx, tx.q, fresh)
	if err != nil {
		return mapError(err)
	}
	rows := accountRows{env: env, directory: directory, generation: generation, now: tx.Now()}
	for _, a := range batch {
		if a.Row != 0 {
			rows.change(a)
			continue
		}
		rows.insert(a, numbers[0])
		numbers = numbers[1:]
	}
	return tx.putRows(ctx, &rows, fresh, nil)
}

// putRows writes rows, of which fresh are those of new accounts. ready may have them in
// the database's form.
func (tx *Tx) putRows(ctx context.Context, rows *accountRows, fresh int, ready []readyBulk) error {
	back, err := rows.swept(ctx, tx)
	if err != nil {
		return err
	}
	if err := rows.write(ctx, tx, ready); err != nil {
		return err
	}
	return tx.countAccounts(ctx, rows.env, rows.directory, int64(fresh)+back)
}

// countAccounts notes that there are more accounts, or fewer.
func (tx *Tx) countAccounts(ctx context.Context, env, directory string, more int64) error {
	if more == 0 {
		return nil
	}
	return tx.Must(ctx, "UPDATE directories SET account_count = account_count + $3 WHERE env = $1 AND id = $2", env, directory, more)
}

// accountRows are the rows of a batch, by statement.
type accountRows struct {
	env, directory string
	generation     int64
	now            time.Time

	fresh, changed, old, identifiers, memberships [][]any
}

// swept counts the swept accounts among those that are written again.
func (r *accountRows) swept(ctx context.Context, tx *Tx) (n int64, err error) {
	for chunk := range slices.Chunk(r.old, bulkRows) {
		var some int64
		source, args := tx.s.db.source(chunk)
		if err := tx.Row(ctx, []any{&some}, "WITH old (num) AS ("+source+") SELECT COUNT(*) FROM accounts WHERE num IN (SELECT num FROM old) AND swept_at > 0", args...); err != nil {
			return 0, err
		}
		n += some
	}
	return n, nil
}

func (r *accountRows) insert(a AccountWrite, num int64) {
	r.fresh = append(r.fresh, []any{num, newOrderedID(r.now), r.env, r.directory, a.ID, accountKey(r.directory, a.ID), a.Name,
		JSON(a.Identifiers), a.BirthDate, Flag(a.Disabled), a.Digest, r.generation, Millis(r.now)})
	r.belongings(a, num)
}

func (r *accountRows) change(a AccountWrite) {
	r.changed = append(r.changed, []any{a.Row, accountKey(r.directory, a.ID), a.Name, JSON(a.Identifiers), a.BirthDate, Flag(a.Disabled), a.Digest, r.generation})
	r.old = append(r.old, []any{a.Row})
	r.belongings(a, a.Row)
}

// belongings are what other tables have of an account.
func (r *accountRows) belongings(a AccountWrite, num int64) {
	for _, text := range distinct(a.Identifiers, NormalIdentifier) {
		r.identifiers = append(r.identifiers, []any{text, num})
	}
	for _, g := range distinct(a.Groups, func(g protocol.Group) string { return g.ID }) {
		r.memberships = append(r.memberships, []any{g, num})
	}
}

// bulks are the statements of a batch in their order. The first says of how many rows
// that were there it changed one.
func (r *accountRows) bulks(inserts string) []bulk {
	return []bulk{
		{updateAccounts[0], updateAccounts[1], r.changed},
		{"WITH old (num) AS (", ") DELETE FROM account_identifiers WHERE account IN (SELECT num FROM old)", r.old},
		{"WITH old (num) AS (", ") DELETE FROM account_groups WHERE account IN (SELECT num FROM old)", r.old},
		{inserts + accountRow, "", r.fresh},
		{inserts + "account_identifiers (identifier, account) ", "", r.identifiers},
		{inserts + "account_groups (grp, account) ", "", r.memberships},
	}
}

func (r *accountRows) write(ctx context.Context, tx *Tx, ready []readyBulk) error {
	for i, b := range r.bulks(tx.s.db.insertInto()) {
		var n int64
		var err error
		switch {
		case ready == nil:
			n, err = tx.bulk(ctx, b)
		case ready[i].query != "":
			n, err = tx.Exec(ctx, ready[i].query, slices.Clone(ready[i].args)...) // a transaction may run again
		}
		if err == nil && i == 0 && n != int64(len(r.changed)) {
			err = ErrConflict
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const accountRow = `accounts
	(num, id, env, directory, immutable_id, key, name, identifiers, birth_date, disabled, digest, generation, created_at) `

// updateAccounts is what stands before and after the rows.
var updateAccounts = [2]string{"WITH changed (num, key, name, identifiers, birth_date, disabled, digest, generation) AS (",
	`) UPDATE accounts SET name = changed.name, identifiers = changed.identifiers, birth_date = changed.birth_date,
	disabled = changed.disabled, digest = changed.digest, generation = changed.generation, swept_at = 0,
	named = CASE WHEN accounts.name = changed.name THEN accounts.named ELSE 0 END
	FROM changed WHERE accounts.num = changed.num AND accounts.key = changed.key`}

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

// bulk is one statement for many rows. Between before and after stands what gives the
// rows in the database's fastest form.
type bulk struct {
	before, after string
	rows          [][]any
}

// bulkRows is how many rows one statement takes: a megabyte at most in ordinary
// directories.
const bulkRows = 2000

// bulk returns how many rows it changed.
func (tx *Tx) bulk(ctx context.Context, b bulk) (changed int64, err error) {
	for chunk := range slices.Chunk(b.rows, bulkRows) {
		source, args := tx.s.db.source(chunk)
		n, err := tx.Exec(ctx, b.before+source+b.after, args...)
		if err != nil {
			return changed, err
		}
		changed += n
	}
	return changed, nil
}

// arrays is PostgreSQL's source of rows: one array for each column, and one parameter
// for each that is the same in all rows. The planner looks at a handful of parameters,
// not at thousands.
func arrays(rows [][]any) (source string, args []any) {
	args = make([]any, len(rows[0]))
	var columns, varying, names []string
	for j, v := range rows[0] {
		_, number := v.(int64)
		kind := map[bool]string{false: "text", true: "bigint"}[number]
		if j > 0 && same(rows, j) { // the first column gives the number of rows
			args[j], columns = v, append(columns, fmt.Sprintf("$%d::%s", j+1, kind))
			continue
		}
		if args[j] = any(column[string](rows, j)); number {
			args[j] = column[int64](rows, j)
		}
		name := fmt.Sprint("c", j)
		columns, names, varying = append(columns, name), append(names, name), append(varying, fmt.Sprintf("$%d::%s[]", j+1, kind))
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM unnest(" + strings.Join(varying, ", ") + ") AS r (" + strings.Join(names, ", ") + ")", args
}

// column returns the values of one column, all of one type.
func column[T any](rows [][]any, j int) []T {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i], _ = row[j].(T)
	}
	return values
}

// jsonRows is SQLite's source of rows: a JSON text as one parameter, and one for each
// column that is the same in all rows. A call of SQLite for each row, or long VALUES,
// cost several times as much. WHERE keeps an ON CONFLICT that follows from being read as
// part of a join.
func jsonRows(rows [][]any) (source string, args []any) {
	first := rows[0]
	_, text := first[0].(string)
	if len(first) == 1 || len(first) == 2 && text {
		return jsonPairs(rows)
	}
	args = make([]any, 1, 1+len(first))
	columns := make([]string, len(first))
	var varying []int
	for j := range columns {
		if same(rows, j) {
			args = append(args, first[j])
			columns[j] = "$" + strconv.Itoa(len(args))
			continue
		}
		columns[j] = fmt.Sprintf("json_extract(v, '$[%d]')", len(varying))
		varying = append(varying, j)
	}
	args[0] = jsonText(rows, "[]", func(b []byte, row []any) []byte {
		b = append(b, '[')
		for i, j := range varying {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, row[j])
		}
		return append(b, ']')
	})
	// LIMIT keeps SQLite from writing a row's text anew for each of its columns.
	return "SELECT " + strings.Join(columns, ", ") + " FROM (SELECT value AS v FROM json_each($1) LIMIT -1) WHERE TRUE", args
}

// jsonPairs are rows of one column, or of two of which the first is a text: SQLite has
// nothing to take apart then.
func jsonPairs(rows [][]any) (source string, args []any) {
	if len(rows[0]) == 1 {
		return "SELECT value FROM json_each($1) WHERE TRUE", []any{jsonText(rows, "[]", func(b []byte, row []any) []byte { return appendJSON(b, row[0]) })}
	}
	return "SELECT key, value FROM json_each($1) WHERE TRUE", []any{jsonText(rows, "{}", func(b []byte, row []any) []byte {
		return appendJSON(append(appendJSON(b, row[0]), ':'), row[1])
	})}
}

// jsonText joins what add writes of each row within brackets.
func jsonText(rows [][]any, brackets string, add func(b []byte, row []any) []byte) string {
	b := append(make([]byte, 0, 256*len(rows)), brackets[0])
	for i, row := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = add(b, row)
	}
	return string(append(b, brackets[1]))
}

// appendJSON writes a string or a number.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		if plain(v) {
			return append(append(append(b, '"'), v...), '"')
		}
	}
	return append(b, JSON(v)...)
}

// plain reports whether a text is written in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
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
	_, err := tx.bulk(ctx, bulk{"INSERT INTO directory_groups (env, directory, immutable_id, name, kind) ",
		" ON CONFLICT (directory, immutable_id) DO UPDATE SET name = excluded.name, kind = excluded.kind", rows})
	return err
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
	n, err := tx.bulk(ctx, bulk{"WITH gone (key, env, directory, at) AS (", `) UPDATE accounts SET swept_at = gone.at FROM gone
		WHERE accounts.key = gone.key AND accounts.env = gone.env AND accounts.directory = gone.directory AND accounts.swept_at = 0`, rows})
	if err != nil {
		return err
	}
	return tx.countAccounts(ctx, env, directory, -n)
}

// sweptKept is how long a swept account's bound data is kept: long enough to undo a mistaken removal.
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
	if err := tx.removePhotosElsewhere(ctx, "account IN (SELECT num FROM accounts WHERE "+where+")", args...); err != nil {
		return 0, err
	}
	for _, table := range []string{"account_identifiers", "account_groups", "account_name_keys", "account_photos", "account_birth_dates"} {
		_, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE account IN (SELECT num FROM accounts WHERE "+where+")", args...)
		if err != nil {
			return 0, err
		}
	}
	// Whoever comes later under the same immutable id recovers with nothing of theirs.
	if _, err := tx.Exec(ctx, "DELETE FROM factors WHERE EXISTS (SELECT 1 FROM accounts WHERE accounts.env = factors.env AND accounts.directory = factors.directory AND "+
		"accounts.immutable_id = factors.account AND num IN (SELECT num FROM accounts WHERE "+where+"))", args...); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM account_acts WHERE EXISTS (SELECT 1 FROM accounts WHERE accounts.env = account_acts.env AND accounts.id = account_acts.person AND num IN "+
		"(SELECT num FROM accounts WHERE "+where+"))", args...); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM act_orders WHERE EXISTS (SELECT 1 FROM accounts WHERE accounts.env = act_orders.env AND accounts.id = act_orders.person AND num IN "+
		"(SELECT num FROM accounts WHERE "+where+"))", args...); err != nil {
		return 0, err
	}
	return tx.Exec(ctx, "DELETE FROM accounts WHERE "+where, args...)
}

// CountAccounts counts the accounts of a directory, swept ones excluded.
func (tx *Tx) CountAccounts(ctx context.Context, env, directory string) (n int, err error) {
	err = tx.Row(ctx, []any{&n}, "SELECT count(*) FROM accounts WHERE env = $1 AND directory = $2 AND swept_at = 0", env, directory)
	return n, err
}
