-- The order and the tree of the audit log. Rows of audit_events are given an index after
-- they are there: audit_pending holds those that wait for one.

-- +goose Up

CREATE TABLE audit_pending (
	event TEXT PRIMARY KEY
);
INSERT INTO audit_pending (event) SELECT id FROM audit_events;

CREATE TABLE audit_entries (
	seq   BIGINT PRIMARY KEY,   -- index in the log, from 0
	event TEXT NOT NULL UNIQUE
);

-- Tiles of 32 hashes: level l holds the roots of subtrees of 32^l leaves. The last one of
-- a level may be shorter.
CREATE TABLE audit_tiles (
	id     TEXT PRIMARY KEY,    -- "level/number"
	hashes TEXT NOT NULL        -- base64
);

CREATE TABLE audit_head (
	id         BIGINT PRIMARY KEY,
	size       BIGINT NOT NULL, -- how many have an index
	checkpoint TEXT NOT NULL,   -- signed, of that size
	dropped    BIGINT NOT NULL  -- so many from the first on are kept as hashes only
);
INSERT INTO audit_head (id, size, checkpoint, dropped) VALUES (1, 0, '', 0);

-- Search: each index ends with the id, which begins with the time, so that a page is read
-- in its order and no further.
DROP INDEX audit_events_env;
DROP INDEX audit_events_account;
CREATE INDEX audit_events_env ON audit_events (org, env, id);
CREATE INDEX audit_events_kind ON audit_events (org, kind, id);
CREATE INDEX audit_events_env_kind ON audit_events (org, env, kind, id);
CREATE INDEX audit_events_account ON audit_events (account, id) WHERE account <> '';
CREATE INDEX audit_events_trace ON audit_events (trace, id) WHERE trace <> '';
