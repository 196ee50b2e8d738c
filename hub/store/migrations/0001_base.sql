-- Tables of the installation and of what every part needs. TEXT and BIGINT only; times
-- are epoch milliseconds with 0 for "never", booleans 0 or 1, structures JSON text. For
-- SQLite two words are read differently, see migrate.go.
-- Columns named in the table of sealed.go hold sealed text.

-- +goose Up

CREATE TABLE master_keys (
	id         TEXT PRIMARY KEY, -- derived from the key
	active     BIGINT NOT NULL,
	proof      TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

-- One master key sealed under another one. The new key under the old one is there only
-- during a rotation.
CREATE TABLE master_key_wraps (
	id         TEXT NOT NULL,
	wrapped_by TEXT NOT NULL,
	sealed     TEXT NOT NULL,
	PRIMARY KEY (id, wrapped_by)
);

CREATE TABLE hub_keys (
	name       TEXT PRIMARY KEY, -- noise, log
	public     TEXT NOT NULL,    -- base64
	private    TEXT NOT NULL,    -- sealed
	created_at BIGINT NOT NULL
);

CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

CREATE TABLE organisations (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL,
	created_at BIGINT NOT NULL
);

CREATE TABLE environments (
	id                TEXT PRIMARY KEY,
	org               TEXT NOT NULL REFERENCES organisations (id),
	name              TEXT NOT NULL,
	public_name       TEXT NOT NULL,
	require_presigned BIGINT NOT NULL DEFAULT 0,
	languages         TEXT NOT NULL DEFAULT '[]',
	accent            TEXT NOT NULL DEFAULT '',
	logo              TEXT NOT NULL DEFAULT '', -- base64
	logo_type         TEXT NOT NULL DEFAULT '',
	created_at        BIGINT NOT NULL,
	updated_at        BIGINT NOT NULL
);
CREATE INDEX environments_org ON environments (org);

-- A removed domain stays here, bound to its environment for a year, also when that is
-- deleted: whoever takes the name over must not speak for it at another customer's.
CREATE TABLE domains (
	name        TEXT PRIMARY KEY, -- lower case, punycode, no final dot
	env         TEXT NOT NULL,
	proof_token TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	proven_at   BIGINT NOT NULL DEFAULT 0,
	checked_at  BIGINT NOT NULL DEFAULT 0,
	last_error  TEXT NOT NULL DEFAULT '',
	removed_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX domains_env ON domains (env);

CREATE TABLE api_keys (
	id           TEXT PRIMARY KEY,
	org          TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	name         TEXT NOT NULL,
	hash         TEXT NOT NULL UNIQUE, -- SHA-256 of the key, base64
	role         TEXT NOT NULL,
	envs         TEXT NOT NULL,        -- ["*"] or ids
	enabled      BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL DEFAULT 0,
	last_used_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX api_keys_org ON api_keys (org);

CREATE TABLE directories (
	id                   TEXT PRIMARY KEY,
	env                  TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	kind                 TEXT NOT NULL,
	name                 TEXT NOT NULL,
	traits               TEXT NOT NULL DEFAULT '{}',
	policies             TEXT NOT NULL DEFAULT '{}', -- {"password_policy": …}
	methods              TEXT NOT NULL DEFAULT '',
	rate_count           BIGINT NOT NULL DEFAULT 0,
	rate_window          BIGINT NOT NULL DEFAULT 0,  -- milliseconds
	access_pass_minutes  BIGINT NOT NULL DEFAULT 0,
	access_pass_reusable BIGINT NOT NULL DEFAULT 0,
	birth_date_key       TEXT NOT NULL DEFAULT '',   -- sealed
	legacy_token_hash    TEXT NOT NULL DEFAULT '',
	allow_unsealed       BIGINT NOT NULL DEFAULT 0,
	native_since         BIGINT NOT NULL DEFAULT 0,
	needs_reconnect      BIGINT NOT NULL DEFAULT 0,
	fingerprint          TEXT NOT NULL DEFAULT '',
	generation           BIGINT NOT NULL DEFAULT 0,  -- of the last finished pass
	sync_state           TEXT NOT NULL DEFAULT '',   -- what the agent gave with it
	sync_started_at      BIGINT NOT NULL DEFAULT 0,
	sync_completed_at    BIGINT NOT NULL DEFAULT 0,
	sync_full_at         BIGINT NOT NULL DEFAULT 0,
	sync_beat_at         BIGINT NOT NULL DEFAULT 0,  -- a running pass says so every few seconds
	sync_listed          BIGINT NOT NULL DEFAULT 0,
	sync_expected        BIGINT NOT NULL DEFAULT 0,
	sync_error           TEXT NOT NULL DEFAULT '',
	sync_pending         TEXT NOT NULL DEFAULT '',   -- a question to an administrator
	sync_run             TEXT NOT NULL DEFAULT '',   -- id of the pass that may write
	account_count        BIGINT NOT NULL DEFAULT 0,
	created_at           BIGINT NOT NULL,
	updated_at           BIGINT NOT NULL
);
CREATE INDEX directories_env ON directories (env);
CREATE INDEX directories_legacy ON directories (legacy_token_hash);

-- num is short and grows, so that the tables that point to accounts stay small and are
-- written at their ends; id is what the outside sees.
CREATE TABLE accounts (
	num          BIGSERIAL PRIMARY KEY,
	id           TEXT NOT NULL UNIQUE,
	env          TEXT NOT NULL,
	directory    TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	immutable_id TEXT NOT NULL,
	name         TEXT NOT NULL,
	identifiers  TEXT NOT NULL,            -- as the directory spells them
	birth_date   TEXT NOT NULL DEFAULT '', -- keyed hash
	disabled     BIGINT NOT NULL DEFAULT 0,
	subject      TEXT NOT NULL DEFAULT '',
	digest       TEXT NOT NULL,            -- of everything that the directory said
	generation   BIGINT NOT NULL,          -- of the pass that last wrote this row
	swept_at     BIGINT NOT NULL DEFAULT 0,
	created_at   BIGINT NOT NULL,
	UNIQUE (directory, immutable_id)
);
CREATE INDEX accounts_env ON accounts (env, num);
CREATE INDEX accounts_swept ON accounts (swept_at) WHERE swept_at > 0;

-- Identifiers in the form in which they are looked up; several accounts may share one.
CREATE TABLE account_identifiers (
	identifier TEXT NOT NULL,
	account    BIGINT NOT NULL REFERENCES accounts (num) ON DELETE CASCADE,
	PRIMARY KEY (identifier, account)
) /* SQLite: WITHOUT ROWID */;
CREATE INDEX account_identifiers_account ON account_identifiers (account);

CREATE TABLE directory_groups (
	env          TEXT NOT NULL,
	directory    TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	immutable_id TEXT NOT NULL,
	name         TEXT NOT NULL,
	kind         TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (directory, immutable_id)
);

CREATE TABLE account_groups (
	account BIGINT NOT NULL REFERENCES accounts (num) ON DELETE CASCADE,
	grp     TEXT NOT NULL, -- immutable id in the account's directory
	PRIMARY KEY (account, grp)
) /* SQLite: WITHOUT ROWID */;

CREATE TABLE agents (
	id          TEXT PRIMARY KEY,
	env         TEXT NOT NULL,
	directory   TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	name        TEXT NOT NULL,
	noise_key   TEXT NOT NULL UNIQUE, -- base64
	sign_key    TEXT NOT NULL,        -- base64
	state       TEXT NOT NULL,
	version     TEXT NOT NULL DEFAULT '',
	guard_hash  TEXT NOT NULL DEFAULT '',
	enrolled_at BIGINT NOT NULL,
	seen_at     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX agents_directory ON agents (directory);

CREATE TABLE tickets (
	hash       TEXT PRIMARY KEY, -- SHA-256 of the secret, base64
	env        TEXT NOT NULL,
	directory  TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0,
	agent      TEXT NOT NULL DEFAULT ''
);
CREATE INDEX tickets_directory ON tickets (directory);

CREATE TABLE console_links (
	hash       TEXT PRIMARY KEY, -- SHA-256 of the secret, base64
	org        TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE console_sessions (
	hash       TEXT PRIMARY KEY, -- SHA-256 of the cookie, base64
	org        TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);

-- Certificates and ACME accounts, one row per file of the certificate storage.
CREATE TABLE certificates (
	name        TEXT PRIMARY KEY,
	value       TEXT NOT NULL, -- sealed
	size        BIGINT NOT NULL,
	modified_at BIGINT NOT NULL
);

CREATE TABLE certificate_locks (
	name       TEXT PRIMARY KEY,
	token      TEXT NOT NULL,
	expires_at BIGINT NOT NULL
);
