-- Accounts say themselves whether their names can be found, and the keys of names stand
-- in blocks of accounts that were added together: keys are hashes, and one index of all
-- of them is written at as many places as it has pages by each batch.

-- +goose Up

ALTER TABLE accounts ADD COLUMN named BIGINT NOT NULL DEFAULT 0; -- 1: account_name_keys has the keys of the name
UPDATE accounts SET named = 1 WHERE EXISTS (SELECT 1 FROM account_names n WHERE n.account = accounts.num AND n.name = accounts.name);
CREATE INDEX accounts_unnamed ON accounts (directory, num) WHERE named = 0;
DROP TABLE account_names;

CREATE TABLE account_name_keys_before AS SELECT key, account FROM account_name_keys;
DROP TABLE account_name_keys;
CREATE TABLE account_name_keys (
	block   BIGINT NOT NULL, -- account / 4096
	key     BIGINT NOT NULL, -- of directory and name
	account BIGINT NOT NULL, -- accounts.num
	PRIMARY KEY (block, key, account)
) /* SQLite: WITHOUT ROWID */;
INSERT INTO account_name_keys (block, key, account)
	SELECT account / 4096, key, account FROM account_name_keys_before ORDER BY 1, 2, 3;
DROP TABLE account_name_keys_before;
CREATE INDEX account_name_keys_account ON account_name_keys (account);

-- Most accounts are bound to nobody.
DROP INDEX accounts_subject;
CREATE INDEX accounts_subject ON accounts (env, subject) WHERE subject <> '';
