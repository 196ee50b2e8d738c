-- Which nodes cannot send the mails of an environment, and since when.

-- +goose Up

CREATE TABLE mail_troubles (
	env      TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	node     TEXT NOT NULL,           -- name of its machine
	since    BIGINT NOT NULL,         -- 0: mails were refused one by one, which may be those mails
	last     BIGINT NOT NULL,
	step     TEXT NOT NULL,           -- at which the last try ended
	reason   TEXT NOT NULL,           -- of the last one; no address
	refusals BIGINT NOT NULL,         -- mails that were refused since one was taken
	PRIMARY KEY (env, node)
);
