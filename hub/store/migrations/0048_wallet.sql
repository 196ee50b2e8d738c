-- Digital credentials: whom an environment trusts, who it is towards wallets, and what
-- wallets were asked.

-- +goose Up

CREATE TABLE trust_sources (
	env       TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id        TEXT NOT NULL,
	kind      TEXT NOT NULL,              -- pem, vical
	name      TEXT NOT NULL,
	body      TEXT NOT NULL,              -- PEM text, or base64 of the VICAL
	root      TEXT NOT NULL DEFAULT '',   -- vical: PEM of its provider
	doc_types TEXT NOT NULL DEFAULT '[]', -- pem: kinds of document, all when empty
	added_at  BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);

CREATE TABLE wallet_signers (
	env      TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	host     TEXT NOT NULL,
	chain    TEXT NOT NULL,               -- PEM, leaf first
	private  TEXT NOT NULL,               -- sealed: PKCS #8
	given    BIGINT NOT NULL,             -- 1: by the operator; 0: made here, signed by itself
	ends_at  BIGINT NOT NULL,
	PRIMARY KEY (env, host)
);

CREATE TABLE wallet_exchanges (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id           TEXT NOT NULL,           -- unguessable, in response_uri
	request      TEXT NOT NULL,           -- unguessable, in request_uri
	verification TEXT NOT NULL,
	private      TEXT NOT NULL,           -- sealed: what is asked, and the key that the answer is encrypted to
	answer       TEXT NOT NULL DEFAULT '',-- sealed
	fetched_at   BIGINT NOT NULL DEFAULT 0,
	answered_at  BIGINT NOT NULL DEFAULT 0,
	expires_at   BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE UNIQUE INDEX wallet_exchanges_request ON wallet_exchanges (env, request);
CREATE INDEX wallet_exchanges_expires ON wallet_exchanges (expires_at);
CREATE INDEX wallet_exchanges_verification ON wallet_exchanges (env, verification);
