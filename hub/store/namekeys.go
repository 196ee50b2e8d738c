package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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
	Name string
	Keys []int64 // to be set by the caller
}

// UnkeyedNames lists accounts of a directory whose names have to be given keys.
func (tx *Tx) UnkeyedNames(ctx context.Context, env, directory string, count int) ([]NamedAccount, error) {
	return All(ctx, tx, func(scan Scan) (a NamedAccount, err error) {
		err = scan(&a.row, &a.Name)
		return a, err
	}, `SELECT a.num, a.name FROM accounts a LEFT JOIN account_names n ON n.account = a.num
		WHERE a.env = $1 AND a.directory = $2 AND a.swept_at = 0 AND (n.name IS NULL OR n.name <> a.name) LIMIT $3`, env, directory, count)
}

// KeyNames writes the keys of accounts that UnkeyedNames gave in the same transaction.
func (tx *Tx) KeyNames(ctx context.Context, env string, accounts []NamedAccount) error {
	var old, names, keys [][]any
	for _, a := range accounts {
		old = append(old, []any{a.row})
		names = append(names, []any{a.row, a.Name})
		for _, k := range a.Keys {
			keys = append(keys, []any{k, a.row})
		}
	}
	for _, b := range []bulk{
		{"WITH old (num) AS (", ") DELETE FROM account_name_keys WHERE account IN (SELECT num FROM old)", old},
		{"INSERT INTO account_names (account, name) ", " ON CONFLICT (account) DO UPDATE SET name = excluded.name", names},
		{"INSERT INTO account_name_keys (key, account) ", " ON CONFLICT (key, account) DO NOTHING", keys},
	} {
		if _, err := tx.bulk(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

// maxNamesakes bounds how many accounts are compared with one document.
const maxNamesakes = 500

// Namesakes returns the names of accounts of a directory that have one of the keys, but
// for the account itself.
func (tx *Tx) Namesakes(ctx context.Context, env, directory, account string, keys []int64) ([]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return All(ctx, tx, Text, `SELECT DISTINCT a.name FROM accounts a JOIN account_name_keys k ON k.account = a.num
		WHERE k.key IN (`+numbers(keys)+`) AND a.env = $1 AND a.directory = $2 AND a.id <> $3 AND a.swept_at = 0 LIMIT `+fmt.Sprint(maxNamesakes), env, directory, account)
}

// AccountsNamed returns the accounts of a directory whose names have one of the keys.
func (tx *Tx) AccountsNamed(ctx context.Context, env, directory string, keys []int64) ([]Account, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return All(ctx, tx, scanAccount, "SELECT "+accountColumns+` FROM accounts a
		WHERE a.num IN (SELECT account FROM account_name_keys WHERE key IN (`+numbers(keys)+`)) AND a.env = $1 AND a.directory = $2 AND a.swept_at = 0
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
