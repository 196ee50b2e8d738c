-- Passkeys that a directory's agents must forget: one row for each agent that was not told yet.

-- +goose Up

CREATE TABLE key_removals (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	directory  TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	agent      TEXT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
	account    TEXT NOT NULL,            -- canonical immutable id
	hash       TEXT NOT NULL,            -- of the credential, base64
	tries      BIGINT NOT NULL DEFAULT 0,
	next_at    BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE INDEX key_removals_next ON key_removals (next_at);
