-- Webhooks of environments and the outbox of their deliveries.

-- +goose Up

CREATE TABLE webhooks (
	id                   TEXT PRIMARY KEY,
	env                  TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	url                  TEXT NOT NULL,
	enabled              BIGINT NOT NULL,
	events               TEXT NOT NULL,            -- ["recover", …]
	authorization_header TEXT NOT NULL DEFAULT '', -- sealed
	created_at           BIGINT NOT NULL,
	updated_at           BIGINT NOT NULL
);
CREATE INDEX webhooks_env ON webhooks (env);

-- The key that signs an environment's deliveries.
CREATE TABLE webhook_secrets (
	env        TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret     TEXT NOT NULL, -- sealed
	created_at BIGINT NOT NULL
);

CREATE TABLE webhook_deliveries (
	id            TEXT PRIMARY KEY, -- X-Nametag-ID, the same at every try
	env           TEXT NOT NULL,
	webhook       TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	event         TEXT NOT NULL,
	body          TEXT NOT NULL,              -- exactly the bytes that are signed
	attempts      TEXT NOT NULL DEFAULT '[]', -- JSON, one for each try
	tries         BIGINT NOT NULL DEFAULT 0,
	next_at       BIGINT NOT NULL,            -- 0: finished
	claimed_until BIGINT NOT NULL DEFAULT 0,  -- a node is at it
	version       BIGINT NOT NULL DEFAULT 0,
	created_at    BIGINT NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE next_at > 0;
CREATE INDEX webhook_deliveries_env ON webhook_deliveries (env, created_at);
