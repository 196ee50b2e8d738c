-- Two live processes that use one agent's key.

-- +goose Up

ALTER TABLE agents ADD COLUMN kept_instance TEXT NOT NULL DEFAULT ''; -- while the conflict lasts, only this process is given calls
ALTER TABLE agents ADD COLUMN conflict_at BIGINT NOT NULL DEFAULT 0;
