-- People who decide: sessions that end when nobody is there, members who count after a
-- wait, and what staff verified by hand.

-- +goose Up

ALTER TABLE console_sessions ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0; -- 0: only since before this column
ALTER TABLE staff ADD COLUMN counts_at BIGINT NOT NULL DEFAULT 0;          -- from when on they decide about others

-- A manual verification: staff were sure of somebody, for one recovery.
CREATE TABLE manual_verifications (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	directory  TEXT NOT NULL,
	account    TEXT NOT NULL,             -- immutable id
	person     TEXT NOT NULL,             -- row id of the account
	staff      TEXT NOT NULL,             -- who verified
	details    TEXT NOT NULL,             -- sealed: which policy, what was seen, names
	recovery   TEXT NOT NULL DEFAULT '',  -- that counts it; one at most
	made_at    BIGINT NOT NULL,
	ends_at    BIGINT NOT NULL,           -- no recovery begins to count it after that
	used_at    BIGINT NOT NULL DEFAULT 0,
	settled_at BIGINT NOT NULL DEFAULT 0, -- when the recovery was told
	revoked_at BIGINT NOT NULL DEFAULT 0,
	revoked_by TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (env, id)
);
CREATE INDEX manual_verifications_account ON manual_verifications (env, directory, account);
CREATE INDEX manual_verifications_recovery ON manual_verifications (env, recovery);
