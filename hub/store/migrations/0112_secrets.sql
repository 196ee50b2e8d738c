-- Keys under which environments encrypt secrets for their own settings.

-- +goose Up

CREATE TABLE secret_keys (
	env        TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret     TEXT NOT NULL, -- sealed
	created_at BIGINT NOT NULL
);
