-- The audit log. leaf holds the exact bytes of an event; the other columns repeat
-- members of it for look-up. There is no log index yet.

-- +goose Up

CREATE TABLE audit_events (
	id      TEXT PRIMARY KEY, -- ULID: in the order of time
	org     TEXT NOT NULL,
	env     TEXT NOT NULL,    -- empty: of the organisation
	kind    TEXT NOT NULL,
	account TEXT NOT NULL,
	trace   TEXT NOT NULL,
	time    BIGINT NOT NULL,
	leaf    TEXT NOT NULL
);
CREATE INDEX audit_events_org ON audit_events (org, id);
CREATE INDEX audit_events_env ON audit_events (env, id);
CREATE INDEX audit_events_account ON audit_events (env, account, id);

-- The key of a person's members in leaves. Erasing a person empties it.
CREATE TABLE audit_persons (
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,
	key_id     TEXT NOT NULL, -- random, names the key in leaves
	secret     TEXT NOT NULL, -- sealed; empty: erased
	created_at BIGINT NOT NULL,
	erased_at  BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, person)
);
