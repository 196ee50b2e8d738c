-- Accounts written faster. The long pair (directory, immutable_id) is found by a short
-- key: an index of it is written at random places by each batch of a synchronisation.
-- Nothing refers to a parent row by REFERENCES: it would be looked up for every row;
-- whatever removes directories or accounts removes what belongs to them by itself.
-- SQLite can change neither in place, so the tables are made anew. Here their keys are
-- provisional; accountkeys.go computes them.

-- +goose Up

CREATE TABLE accounts_before AS SELECT * FROM accounts;
CREATE TABLE account_identifiers_before AS SELECT * FROM account_identifiers;
CREATE TABLE account_groups_before AS SELECT * FROM account_groups;
DROP TABLE account_identifiers;
DROP TABLE account_groups;
DROP TABLE accounts;

CREATE TABLE accounts (
	num          BIGSERIAL PRIMARY KEY,
	id           TEXT NOT NULL UNIQUE,
	env          TEXT NOT NULL,
	directory    TEXT NOT NULL,
	immutable_id TEXT NOT NULL,
	key          TEXT NOT NULL,            -- of directory and immutable_id, see accountkeys.go
	name         TEXT NOT NULL,
	identifiers  TEXT NOT NULL,            -- as the directory spells them
	birth_date   TEXT NOT NULL DEFAULT '', -- keyed hash
	disabled     BIGINT NOT NULL DEFAULT 0,
	subject      TEXT NOT NULL DEFAULT '',
	digest       TEXT NOT NULL,            -- of everything that the directory said
	generation   BIGINT NOT NULL,          -- of the pass that last wrote this row
	swept_at     BIGINT NOT NULL DEFAULT 0,
	created_at   BIGINT NOT NULL
);

-- num begins anew, in the old order: PostgreSQL's sequence then stands where it must.
INSERT INTO accounts (id, env, directory, immutable_id, key, name, identifiers, birth_date, disabled, subject, digest, generation, swept_at, created_at)
	SELECT id, env, directory, immutable_id, id, name, identifiers, birth_date, disabled, subject, digest, generation, swept_at, created_at
	FROM accounts_before ORDER BY num;
CREATE INDEX accounts_env ON accounts (env, num);
CREATE INDEX accounts_swept ON accounts (swept_at) WHERE swept_at > 0;

CREATE TABLE account_identifiers (
	identifier TEXT NOT NULL,
	account    BIGINT NOT NULL, -- accounts.num
	PRIMARY KEY (identifier, account)
) /* SQLite: WITHOUT ROWID */;
INSERT INTO account_identifiers (identifier, account)
	SELECT i.identifier, a.num FROM account_identifiers_before i
	JOIN accounts_before b ON b.num = i.account JOIN accounts a ON a.id = b.id ORDER BY i.identifier;
CREATE INDEX account_identifiers_account ON account_identifiers (account);

CREATE TABLE account_groups (
	account BIGINT NOT NULL, -- accounts.num
	grp     TEXT NOT NULL,   -- immutable id in the account's directory
	PRIMARY KEY (account, grp)
) /* SQLite: WITHOUT ROWID */;
INSERT INTO account_groups (account, grp)
	SELECT a.num, m.grp FROM account_groups_before m
	JOIN accounts_before b ON b.num = m.account JOIN accounts a ON a.id = b.id ORDER BY a.num;

DROP TABLE accounts_before;
DROP TABLE account_identifiers_before;
DROP TABLE account_groups_before;
