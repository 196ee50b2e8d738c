-- What agents have seen of the audit log, and which of its rows says what an agent is asked.

-- +goose Up

ALTER TABLE recoveries ADD COLUMN entry TEXT NOT NULL DEFAULT ''; -- id of the row of audit_events

ALTER TABLE agents ADD COLUMN log_size BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN log_checkpoint TEXT NOT NULL DEFAULT ''; -- signed note with the agent's cosignature
ALTER TABLE agents ADD COLUMN log_seen_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN log_stopped TEXT NOT NULL DEFAULT '';    -- hash of the head by which the agent stopped; empty: it acts
ALTER TABLE agents ADD COLUMN log_failing TEXT NOT NULL DEFAULT '';    -- sinks that fail, with a space between
