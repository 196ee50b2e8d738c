-- A sign-in is looked up by its id alone, which begins with the time and stands in each
-- secret of it: rows that are written together stand together, and a step writes one place.
-- Before, each step put a random hash into an index and took another one out. Whoever is in
-- the middle of a sign-in when this is applied begins anew.

-- +goose Up

DROP TABLE oidc_exchanges;
CREATE TABLE oidc_exchanges (
	id          TEXT PRIMARY KEY,      -- begins with the time
	env         TEXT NOT NULL,
	version     BIGINT NOT NULL,
	client      TEXT NOT NULL,
	state       TEXT NOT NULL,
	secret_hash TEXT NOT NULL,         -- of the one secret by which it goes on: request_uri, ticket, return, code
	browser     TEXT NOT NULL,         -- hash of the cookie of the browser that began
	access_hash TEXT NOT NULL,         -- of the access token; empty: none
	private     TEXT NOT NULL,         -- sealed: JSON of hub/oidc
	expires_at  BIGINT NOT NULL,
	created_at  BIGINT NOT NULL,
	FOREIGN KEY (env, client) REFERENCES oidc_clients (env, id) ON DELETE CASCADE
);
