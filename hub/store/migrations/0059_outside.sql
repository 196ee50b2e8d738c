-- Outside services that a proof goes through: text messages and identity providers.

-- +goose Up

CREATE TABLE sms_settings (
	env    TEXT NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret TEXT NOT NULL -- sealed: JSON of hub/verify/smscode
);

CREATE TABLE identity_providers (
	env      TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id       TEXT NOT NULL,
	secret   TEXT NOT NULL, -- sealed: JSON of hub/verify/provider
	added_at BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
