-- Which accounts of a directory are named alike. Keys are short hashes of a name in each
-- way that it may be written; nothing refers to a parent row, as with accounts.

-- +goose Up

-- The name of which the keys were made: another one in accounts has to be done.
CREATE TABLE account_names (
	account BIGINT PRIMARY KEY, -- accounts.num
	name    TEXT NOT NULL
);

CREATE TABLE account_name_keys (
	key     BIGINT NOT NULL, -- of directory and name
	account BIGINT NOT NULL, -- accounts.num
	PRIMARY KEY (key, account)
) /* SQLite: WITHOUT ROWID */;
CREATE INDEX account_name_keys_account ON account_name_keys (account);

-- Names that an operator says are common.
CREATE TABLE common_names (
	env  TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	key  BIGINT NOT NULL,
	PRIMARY KEY (env, key)
) /* SQLite: WITHOUT ROWID */;
