-- Events as they come. On SQLite each is written here, where it has no index but its id, and
-- soon many are moved together to audit_rows and its indexes: in their order, which takes a
-- part of the pages and of the processor. PostgreSQL, where many write at once, has none here.

-- +goose Up

ALTER TABLE audit_events RENAME TO audit_rows;
CREATE TABLE audit_recent (
	num     BIGSERIAL PRIMARY KEY, -- from 1 again when all were moved
	id      TEXT NOT NULL UNIQUE,
	org     TEXT NOT NULL,
	env     TEXT NOT NULL,
	kind    TEXT NOT NULL,
	account TEXT NOT NULL,
	trace   TEXT NOT NULL,
	time    BIGINT NOT NULL,
	leaf    TEXT NOT NULL
);
CREATE VIEW audit_events AS
	SELECT id, org, env, kind, account, trace, time, leaf FROM audit_rows
	UNION ALL SELECT id, org, env, kind, account, trace, time, leaf FROM audit_recent;
