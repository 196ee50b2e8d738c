-- Factors: what people keep for their own recovery.

-- +goose Up

CREATE TABLE factors (
	env         TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id          TEXT NOT NULL,
	directory   TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	account     TEXT NOT NULL,            -- canonical immutable id
	kind        TEXT NOT NULL,            -- passkey, totp, saved_code, mail, phone
	label       TEXT NOT NULL DEFAULT '', -- by which its owner knows it
	secret      TEXT NOT NULL DEFAULT '', -- sealed: key, seed, address, or what its confirmation waits for
	credential  TEXT,                     -- of a passkey: SHA-256 of its id, base64url
	enrolled_by TEXT NOT NULL DEFAULT '[]', -- methods that were proven when it was made
	tries       BIGINT NOT NULL DEFAULT 0,  -- of its confirmation
	last_step   BIGINT NOT NULL DEFAULT 0,  -- of a totp: no step up to it counts again
	agent_at    BIGINT NOT NULL DEFAULT 0,  -- from when on it counts at the directory's agent; 0: never
	made_at     BIGINT NOT NULL,
	active_at   BIGINT NOT NULL DEFAULT 0,  -- from when on it counts; 0: not yet confirmed
	used_at     BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, id)
);
CREATE INDEX factors_account ON factors (env, directory, account);
CREATE UNIQUE INDEX factors_credential ON factors (env, credential);
CREATE INDEX factors_waiting ON factors (made_at) WHERE active_at = 0;

CREATE TABLE saved_codes (
	env          TEXT NOT NULL,
	id           TEXT NOT NULL,
	factor       TEXT NOT NULL,
	hash         TEXT NOT NULL,            -- salt and SHA-256, base64url
	used_at      BIGINT NOT NULL DEFAULT 0,
	verification TEXT NOT NULL DEFAULT '', -- in which it was used, until it is replaced
	PRIMARY KEY (env, id),
	FOREIGN KEY (env, factor) REFERENCES factors (env, id) ON DELETE CASCADE
);
CREATE INDEX saved_codes_factor ON saved_codes (env, factor);
