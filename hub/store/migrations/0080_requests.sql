-- Plain verifications: what an organisation asks people for, who answered, and what
-- they shared.

-- +goose Up

-- Keys that turn a person into the subject of one environment. They outlive the master
-- key: a subject is stable.
CREATE TABLE subject_keys (
	env        TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret     TEXT NOT NULL, -- sealed
	created_at BIGINT NOT NULL
);

CREATE TABLE people (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,          -- first part of the subject; also names the person's key in audit_persons
	created_at BIGINT NOT NULL,
	erased_at  BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, id)
);

-- What a person last shared of each claim.
CREATE TABLE properties (
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,
	claim      TEXT NOT NULL,
	value      TEXT NOT NULL,          -- under the key of the person; empty: revoked or erased
	shared_at  BIGINT NOT NULL,
	expires_at BIGINT NOT NULL DEFAULT 0, -- 0: never
	revoked_at BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, person, claim),
	FOREIGN KEY (env, person) REFERENCES people (env, id) ON DELETE CASCADE
);

CREATE TABLE templates (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	name       TEXT NOT NULL,
	is_default BIGINT NOT NULL,
	body       TEXT NOT NULL,          -- JSON: what the API was given
	created_at BIGINT NOT NULL,
	PRIMARY KEY (env, id),
	UNIQUE (env, name)
);

CREATE TABLE requests (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id           TEXT NOT NULL UNIQUE,
	version      BIGINT NOT NULL,
	state        TEXT NOT NULL,
	progress     TEXT NOT NULL,
	label        TEXT NOT NULL,
	template     TEXT NOT NULL,
	scopes       TEXT NOT NULL,
	claims       TEXT NOT NULL,
	origin       TEXT NOT NULL,          -- recovery domain of the link
	ticket       TEXT NOT NULL,          -- sealed: the secret of the link
	ticket_hash  TEXT NOT NULL UNIQUE,
	max_uses     BIGINT NOT NULL,        -- 0: no limit
	uses         BIGINT NOT NULL DEFAULT 0,
	share_life   BIGINT NOT NULL,        -- seconds; 0: no end
	person       TEXT NOT NULL DEFAULT '', -- who shared last
	source       TEXT NOT NULL DEFAULT '',
	expires_at   BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	updated_at   BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE INDEX requests_created ON requests (env, created_at);
CREATE INDEX requests_expires ON requests (state, expires_at);

-- One person who opened a link: a verification with a context of its own.
CREATE TABLE request_uses (
	env        TEXT NOT NULL,
	id         TEXT NOT NULL,            -- base64url of the hub's 16 random bytes
	version    BIGINT NOT NULL,
	request    TEXT NOT NULL,
	session    TEXT NOT NULL,            -- SHA-256 of the session's secret, base64
	state      TEXT NOT NULL,
	method     TEXT NOT NULL DEFAULT '',
	person     TEXT NOT NULL DEFAULT '',
	language   TEXT NOT NULL,
	private    TEXT NOT NULL DEFAULT '', -- sealed: what was proven, until it is shared or not
	expires_at BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (env, id),
	FOREIGN KEY (env, request) REFERENCES requests (env, id) ON DELETE CASCADE
);
CREATE INDEX request_uses_request ON request_uses (env, request);
CREATE INDEX request_uses_expires ON request_uses (expires_at);

-- Who consented to what in which request.
CREATE TABLE request_shares (
	env        TEXT NOT NULL,
	request    TEXT NOT NULL,
	person     TEXT NOT NULL,
	claims     TEXT NOT NULL,
	shared_at  BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	revoked_at BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, request, person),
	FOREIGN KEY (env, request) REFERENCES requests (env, id) ON DELETE CASCADE
);
CREATE INDEX request_shares_person ON request_shares (env, person);
