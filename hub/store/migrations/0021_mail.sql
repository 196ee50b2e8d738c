-- The outbox of mails. A row goes away once a mail server has taken the mail.

-- +goose Up

CREATE TABLE mails (
	id            TEXT PRIMARY KEY,
	env           TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	body          TEXT NOT NULL, -- sealed: recipient and text
	tries         BIGINT NOT NULL DEFAULT 0,
	next_at       BIGINT NOT NULL,
	claimed_until BIGINT NOT NULL DEFAULT 0, -- a node is at it
	version       BIGINT NOT NULL DEFAULT 0,
	created_at    BIGINT NOT NULL,
	expires_at    BIGINT NOT NULL
);
CREATE INDEX mails_due ON mails (next_at);
