-- The browser in which somebody shared, for as long as they share.

-- +goose Up

ALTER TABLE request_shares ADD COLUMN client TEXT NOT NULL DEFAULT ''; -- User-Agent, under the key of the person; empty: none, over, or erased
CREATE INDEX accounts_subject ON accounts (env, subject);
