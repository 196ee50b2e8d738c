-- Account operations that wait for another administrator to agree.

-- +goose Up
CREATE TABLE act_orders (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	directory  TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	person     TEXT NOT NULL,            -- row id of the account
	operation  TEXT NOT NULL,            -- canonical, with its parameters
	people     TEXT NOT NULL,            -- JSON: staff who stand behind the order, none of whom may agree
	body       TEXT NOT NULL,            -- sealed: who asked, from where, and values; empty as soon as it ended
	changes    TEXT NOT NULL,            -- JSON: what the agent foresaw
	state      TEXT NOT NULL,            -- waiting, agreed, denied
	created_at BIGINT NOT NULL,
	ends_at    BIGINT NOT NULL,
	PRIMARY KEY (env, id)
);
CREATE INDEX act_orders_account ON act_orders (env, person);
