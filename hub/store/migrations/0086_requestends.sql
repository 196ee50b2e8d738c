-- When what a person shared ended, and links that are sent to people.

-- +goose Up

ALTER TABLE request_shares ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0; -- its time was over, and everybody was told
CREATE INDEX request_shares_expires ON request_shares (expires_at);

-- Links on their way to a phone. A row goes once its message is taken, or is given up.
CREATE TABLE request_sends (
	env        TEXT NOT NULL,
	request    TEXT NOT NULL,
	address    TEXT NOT NULL,            -- sealed: number and text
	tries      BIGINT NOT NULL DEFAULT 0,
	next_at    BIGINT NOT NULL,
	PRIMARY KEY (env, request),
	FOREIGN KEY (env, request) REFERENCES requests (env, id) ON DELETE CASCADE
);
CREATE INDEX request_sends_next ON request_sends (next_at);
