-- A recovery goes on in another browser: tickets that a phone reads from a screen.

-- +goose Up

CREATE TABLE handovers (
	hash       TEXT PRIMARY KEY,             -- SHA-256 of the ticket, base64
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	recovery   TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0,
	watcher    TEXT NOT NULL DEFAULT ''      -- SHA-256 of the session that gave the recovery away; it may still see how it stands
);
CREATE INDEX handovers_recovery ON handovers (env, recovery);
