package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"

	"github.com/pressly/goose/v3"
)

// accountKey is what stands in accounts.key: 96 bits of a hash of where the account is,
// a third as long as that. Nobody makes an account that has another directory's key,
// which would take 2^96 tries.
func accountKey(directory, immutableID string) string {
	h := sha256.Sum256([]byte(directory + "\n" + storable(immutableID))) // an id of a directory has no line feed
	return base64.RawStdEncoding.EncodeToString(h[:12])
}

// accountKeysVersion is the migration after 0002_accounts.sql.
const accountKeysVersion = 3

// accountKeysMigration computes the keys of the accounts that were there before.
func accountKeysMigration(source func([][]any) (string, []any)) *goose.Migration {
	return goose.NewGoMigration(accountKeysVersion, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
		last := int64(0)
		for {
			rows, err := accountKeys(ctx, tx, last)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			last, _ = rows[len(rows)-1][0].(int64)
			from, args := source(rows)
			_, err = tx.ExecContext(ctx, "WITH fresh (num, key) AS ("+from+") UPDATE accounts SET key = fresh.key FROM fresh WHERE accounts.num = fresh.num", args...)
			if err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "CREATE UNIQUE INDEX accounts_key ON accounts (key)")
		return err
	}}, nil)
}

// accountKeys returns the next rows after num: num and key.
func accountKeys(ctx context.Context, tx *sql.Tx, num int64) (keys [][]any, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT num, directory, immutable_id FROM accounts WHERE num > $1 ORDER BY num LIMIT $2", num, bulkRows)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var directory, immutableID string
		if err := rows.Scan(&num, &directory, &immutableID); err != nil {
			return nil, err
		}
		keys = append(keys, []any{num, accountKey(directory, immutableID)})
	}
	return keys, rows.Err()
}
