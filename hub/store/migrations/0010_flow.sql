-- Recoveries, the verifications that they own, and every counter that limits tries
-- against an account or proves single use.

-- +goose Up

CREATE TABLE recoveries (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id           TEXT NOT NULL,            -- base64url of the hub's 16 random bytes
	version      BIGINT NOT NULL,
	state        TEXT NOT NULL,
	ending       TEXT NOT NULL DEFAULT '',
	session      TEXT NOT NULL,            -- SHA-256 of the session's secret, base64
	address      TEXT NOT NULL,            -- keyed hash
	private      TEXT NOT NULL DEFAULT '', -- sealed: typed address, client, addresses read live
	intent       TEXT NOT NULL DEFAULT '',
	link         TEXT NOT NULL DEFAULT '', -- jti
	language     TEXT NOT NULL DEFAULT '',
	origin       TEXT NOT NULL DEFAULT '',
	directory    TEXT NOT NULL DEFAULT '',
	action       TEXT NOT NULL DEFAULT '',
	account      TEXT NOT NULL DEFAULT '', -- canonical immutable id; empty for a decoy
	person       TEXT NOT NULL DEFAULT '', -- row id of that account
	strength     TEXT NOT NULL DEFAULT '',
	tasks        TEXT NOT NULL DEFAULT '', -- canonical text
	problem      TEXT NOT NULL DEFAULT '',
	message      TEXT NOT NULL DEFAULT '',
	agent        TEXT NOT NULL DEFAULT '',
	agent_part   TEXT NOT NULL DEFAULT '', -- base64url of the agent's 16 random bytes
	not_after    BIGINT NOT NULL DEFAULT 0,
	recipient    TEXT NOT NULL DEFAULT '', -- base64url
	context      TEXT NOT NULL DEFAULT '',
	operation    TEXT NOT NULL DEFAULT '', -- id of the frame that was sent last
	result       TEXT NOT NULL DEFAULT '', -- sealed, though it is the agent's sealed text already
	result_until BIGINT NOT NULL DEFAULT 0,
	must_change  BIGINT NOT NULL DEFAULT 0,
	attempts     BIGINT NOT NULL DEFAULT 0, -- of the background work of this state
	due_at       BIGINT NOT NULL DEFAULT 0, -- when a node must look again; also the lease of the one that does
	pressed_at   BIGINT NOT NULL DEFAULT 0,
	retry_at     BIGINT NOT NULL DEFAULT 0,
	expires_at   BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	updated_at   BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE INDEX recoveries_due ON recoveries (due_at) WHERE due_at > 0;
CREATE INDEX recoveries_account ON recoveries (env, directory, account);
CREATE INDEX recoveries_created ON recoveries (env, created_at);

CREATE TABLE verifications (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	recovery   TEXT NOT NULL DEFAULT '',   -- that owns it; empty for a plain one
	version    BIGINT NOT NULL,
	state      TEXT NOT NULL,
	methods    TEXT NOT NULL DEFAULT '[]', -- all must be proven, in order
	proven     TEXT NOT NULL DEFAULT '[]',
	shown      TEXT NOT NULL DEFAULT '',   -- method that counts for the address, whatever its account is asked for
	expires_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE INDEX verifications_recovery ON verifications (env, recovery);

-- The one challenge that a verification has open.
CREATE TABLE codes (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	verification TEXT NOT NULL,
	challenge    TEXT NOT NULL, -- keyed hash of a code, or random where nothing answers it
	tries        BIGINT NOT NULL DEFAULT 0,
	sent_at      BIGINT NOT NULL,
	PRIMARY KEY (env, verification)
);

-- A subject is an account, or an address that may belong to none.
CREATE TABLE code_sends (
	env     TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	subject TEXT NOT NULL,
	sent_at BIGINT NOT NULL
);
CREATE INDEX code_sends_subject ON code_sends (env, subject, sent_at);

CREATE TABLE proof_counters (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	subject    TEXT NOT NULL,
	method     TEXT NOT NULL,
	purpose    TEXT NOT NULL,
	failures   BIGINT NOT NULL DEFAULT 0, -- since window_at
	total      BIGINT NOT NULL DEFAULT 0, -- since the last success
	window_at  BIGINT NOT NULL DEFAULT 0,
	cool_until BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, subject, method, purpose)
);

-- Operations that were claimed and not given back because nothing was performed.
CREATE TABLE operation_uses (
	env       TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	directory TEXT NOT NULL,
	account   TEXT NOT NULL,
	recovery  TEXT NOT NULL,
	used_at   BIGINT NOT NULL,
	PRIMARY KEY (env, directory, account, recovery)
);

CREATE TABLE presign_keys (
	env        TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret     TEXT NOT NULL, -- sealed
	created_at BIGINT NOT NULL
);

-- One-shot links that were used.
CREATE TABLE presign_uses (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	jti        TEXT NOT NULL,
	recovery   TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (env, jti)
);

-- Tokens of "this was not me".
CREATE TABLE objections (
	hash       TEXT PRIMARY KEY, -- SHA-256 of the token, base64
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	recovery   TEXT NOT NULL,
	directory  TEXT NOT NULL,
	account    TEXT NOT NULL,
	action     TEXT NOT NULL,
	made_at    BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE recovery_blocks (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	directory  TEXT NOT NULL,
	account    TEXT NOT NULL,
	until      BIGINT NOT NULL,
	PRIMARY KEY (env, directory, account)
);
