-- Collectors that an organisation has the audit log sent to.

-- +goose Up
CREATE TABLE audit_destinations (
	id           TEXT PRIMARY KEY,
	org          TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	settings     TEXT NOT NULL,   -- JSON, sealed
	envs         TEXT NOT NULL,   -- ' id id ', or empty: all and what concerns none
	kinds        TEXT NOT NULL,   -- likewise
	seq          BIGINT NOT NULL, -- index in the log of the next one, see audit_entries
	sent         BIGINT NOT NULL DEFAULT 0,
	dropped      BIGINT NOT NULL DEFAULT 0,
	failures     BIGINT NOT NULL DEFAULT 0, -- in a row
	last_error   TEXT NOT NULL DEFAULT '',
	last_sent_at BIGINT NOT NULL DEFAULT 0,
	due_at       BIGINT NOT NULL DEFAULT 0, -- not before; in the future while a node sends
	added_at     BIGINT NOT NULL
);
CREATE INDEX audit_destinations_org ON audit_destinations (org, added_at);
