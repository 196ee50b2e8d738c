-- A request that an exchange waits for, and of which what is shared is kept.

-- +goose Up

ALTER TABLE requests ADD COLUMN keeps BIGINT NOT NULL DEFAULT 0;
