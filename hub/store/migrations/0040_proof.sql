-- Several ways to prove who somebody is, and the evidence that they give.

-- +goose Up

-- methods now lists what a page offers: before the first proof to everybody, after it
-- what the account's own rule leaves. proven is a set.
ALTER TABLE verifications ADD COLUMN waiting TEXT NOT NULL DEFAULT '[]';  -- other people decide about them
ALTER TABLE verifications ADD COLUMN declined TEXT NOT NULL DEFAULT '[]'; -- they did, and said no

ALTER TABLE codes ADD COLUMN genuine BIGINT NOT NULL DEFAULT 0; -- an answer can be right
ALTER TABLE codes ADD COLUMN ask TEXT NOT NULL DEFAULT '';      -- what the page is given
ALTER TABLE codes ADD COLUMN case_id TEXT NOT NULL DEFAULT '';  -- the row that other people decide about

-- Kept until the recovery ends, for the agent's own check.
CREATE TABLE evidence (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	verification TEXT NOT NULL,
	seq          BIGINT NOT NULL,
	type         TEXT NOT NULL,
	raw          TEXT NOT NULL DEFAULT '', -- sealed; empty where the name of the method is all
	PRIMARY KEY (env, verification, seq)
);
