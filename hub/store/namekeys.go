package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// NameKeys makes short hashes of the keys of a name, different in each scope: a
// directory, or an environment. Names stand beside them in clear; that they are hashes
// saves room, and nothing else.
func NameKeys(scope string, keys []string) []int64 {
	all := make([]int64, len(keys))
	for i, k := range keys {
		h := sha256.Sum256([]byte(scope + "\x00" + k))
		all[i] = int64(binary.BigEndian.Uint64(h[:]))
	}
	return all
}

// A NamedAccount is an account whose name has no keys yet, or keys of another name.
type NamedAccount struct {
	row  int64
	ID   string
	Name string
	Keys []int64 // to be set by the caller
}

// UnkeyedNames lists accounts of a directory whose names have to be given keys.
func (tx *Tx) UnkeyedNames(ctx context.Context, env, directory string, count int) ([]NamedAccount, error) {
	return All(ctx, tx, func(scan Scan) (a NamedAccount, err error) {
		err = scan(&a.row, &a.ID, &a.Name)
		return a, err
	}, "SELECT num, id, name FROM accounts WHERE directory = $2 AND named = 0 AND env = $1 AND swept_at = 0 LIMIT $3", env, directory, count)
}

// ManyUnkeyed reports whether UnkeyedNames would list at least count accounts.
func (tx *Tx) ManyUnkeyed(ctx context.Context, env, directory string, count int) (bool, error) {
	found, err := All(ctx, tx, Text, "SELECT id FROM accounts WHERE directory = $2 AND named = 0 AND env = $1 AND swept_at = 0 LIMIT 1 OFFSET $3",
		env, directory, max(count, 1)-1)
	return len(found) > 0, err
}

// nameBlock is how many accounts have their keys in one block of the index.
const nameBlock = 4096

type nameKey struct{ block, key, account int64 }

// KeyNames writes the keys of accounts that UnkeyedNames gave in the same transaction.
func (tx *Tx) KeyNames(ctx context.Context, env string, accounts []NamedAccount) error {
	var all, keys [][]any
	var found []nameKey
	for _, a := range accounts {
		all = append(all, []any{a.row})
		for _, k := range a.Keys {
			found = append(found, nameKey{a.row / nameBlock, k, a.row})
		}
	}
	slices.SortFunc(found, func(a, b nameKey) int { return cmp.Or(cmp.Compare(a.block, b.block), cmp.Compare(a.key, b.key)) })
	for _, k := range found {
		keys = append(keys, []any{k.key, k.account, k.block})
	}
	for _, b := range []bulk{
		{"WITH old (num) AS (", ") DELETE FROM account_name_keys WHERE account IN (SELECT num FROM old)", all},
		{"INSERT INTO account_name_keys (key, account, block) ", " ON CONFLICT (block, key, account) DO NOTHING", keys},
		{"WITH done (num) AS (", ") UPDATE accounts SET named = 1 WHERE num IN (SELECT num FROM done)", all},
	} {
		if _, err := tx.bulk(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// inBlocks finds the accounts that have one of the keys, block by block: CROSS keeps
// SQLite from going through all keys.
func inBlocks(keys []int64) string {
	block := strconv.Itoa(nameBlock)
	return "WITH RECURSIVE blocks (n) AS (SELECT MIN(num) / " + block + " FROM accounts UNION ALL SELECT n + 1 FROM blocks WHERE n < (SELECT MAX(num) / " + block +
		" FROM accounts)), found (account) AS (SELECT DISTINCT k.account FROM blocks CROSS JOIN account_name_keys k WHERE k.block = blocks.n AND k.key IN (" + numbers(keys) + ")) "
}

// maxNamesakes bounds how many accounts are compared with one document.
const maxNamesakes = 500

// Namesakes returns the names of accounts of a directory that have one of the keys, but
// for the account itself.
func (tx *Tx) Namesakes(ctx context.Context, env, directory, account string, keys []int64) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return All(ctx, tx, Text, inBlocks(keys)+`SELECT DISTINCT a.name FROM found CROSS JOIN accounts a
		WHERE a.num = found.account AND a.env = $1 AND a.directory = $2 AND a.id <> $3 AND a.swept_at = 0 LIMIT `+fmt.Sprint(maxNamesakes), env, directory, account)
}

// AccountsNamed returns the accounts of a directory whose names have one of the keys.
func (tx *Tx) AccountsNamed(ctx context.Context, env, directory string, keys []int64) ([]Account, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return All(ctx, tx, scanAccount, inBlocks(keys)+"SELECT "+accountColumns+` FROM found CROSS JOIN accounts a
		WHERE a.num = found.account AND a.env = $1 AND a.directory = $2 AND a.swept_at = 0
		ORDER BY a.num LIMIT `+fmt.Sprint(maxNamesakes), env, directory)
}

// numbers writes keys into a statement: they are numbers.
func numbers(keys []int64) string {
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = strconv.FormatInt(k, 10)
	}
	return strings.Join(texts, ", ")
}

// SetCommonNames replaces the names that an environment's operator says are common.
func (tx *Tx) SetCommonNames(ctx context.Context, env string, keys []int64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM common_names WHERE env = $1", env); err != nil {
		return err
	}
	rows := make([][]any, len(keys))
	for i, k := range keys {
		rows[i] = []any{env, k}
	}
	_, err := tx.bulk(ctx, bulk{"INSERT INTO common_names (env, key) ", " ON CONFLICT (env, key) DO NOTHING", rows})
	return err
}

// CommonName reports whether any of the keys is on the operator's list.
func (tx *Tx) CommonName(ctx context.Context, env string, keys []int64) (bool, error) {
	if len(keys) == 0 {
		return false, nil
	}
	var n int
	err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM common_names WHERE env = $1 AND key IN ("+numbers(keys)+")", env)
	return n > 0, err
}
