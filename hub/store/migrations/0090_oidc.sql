-- OpenID Connect: relying parties, their signing keys, and what they asked for.

-- +goose Up

CREATE TABLE oidc_clients (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL UNIQUE,   -- client_id
	contract   TEXT NOT NULL,
	directory  TEXT NOT NULL,          -- whose accounts it asks about; empty: nobody's
	settings   TEXT NOT NULL,          -- JSON of hub/oidc, without secrets
	secrets    TEXT NOT NULL,          -- JSON: hashes of the secrets, the newest first
	version    BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);

CREATE TABLE oidc_keys (
	env         TEXT NOT NULL,
	client      TEXT NOT NULL,
	id          TEXT NOT NULL,         -- kid: RFC 7638 thumbprint
	algorithm   TEXT NOT NULL,
	public      TEXT NOT NULL,         -- JSON Web Key, as published
	private     TEXT NOT NULL,         -- sealed: PKCS #8
	active_from BIGINT NOT NULL,       -- signs from then on, until a later one does
	PRIMARY KEY (env, id),
	FOREIGN KEY (env, client) REFERENCES oidc_clients (env, id) ON DELETE CASCADE
);
CREATE INDEX oidc_keys_client ON oidc_keys (env, client);

-- One sign-in of one browser, from the request of a relying party to its answer.
CREATE TABLE oidc_exchanges (
	env         TEXT NOT NULL,
	id          TEXT NOT NULL,
	version     BIGINT NOT NULL,
	client      TEXT NOT NULL,
	state       TEXT NOT NULL,
	secret_hash TEXT NOT NULL UNIQUE,  -- of the one secret by which it goes on: request_uri, ticket, return, code
	browser     TEXT NOT NULL,         -- hash of the cookie of the browser that began
	access_hash TEXT NOT NULL,         -- of the access token; empty: none
	private     TEXT NOT NULL,         -- sealed: JSON of hub/oidc
	expires_at  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	PRIMARY KEY (env, id),
	FOREIGN KEY (env, client) REFERENCES oidc_clients (env, id) ON DELETE CASCADE
);
CREATE INDEX oidc_exchanges_expires ON oidc_exchanges (expires_at);
CREATE INDEX oidc_exchanges_access ON oidc_exchanges (access_hash);

-- Tokens of others that were taken once.
CREATE TABLE oidc_used (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	hash       TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (env, hash)
);
CREATE INDEX oidc_used_expires ON oidc_used (expires_at);

-- A request that a relying party waits for: nothing of it is kept.
ALTER TABLE requests ADD COLUMN exchange TEXT NOT NULL DEFAULT '';
