-- Command lines that staff signed in: an API key, sealed to the key of the terminal.

-- +goose Up
CREATE TABLE terminals (
	key        TEXT PRIMARY KEY,
	org        TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	staff      TEXT NOT NULL,
	sealed     TEXT NOT NULL,
	expires_at BIGINT NOT NULL
);
