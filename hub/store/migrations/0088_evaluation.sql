-- Evaluation: the whole journey without a change, and a report of who could recover.

-- +goose Up

-- What an agent said last of its own file: it changes nothing.
ALTER TABLE agents ADD COLUMN evaluation BIGINT NOT NULL DEFAULT 0;

-- A recovery that an agent began as a trial.
ALTER TABLE recoveries ADD COLUMN trial BIGINT NOT NULL DEFAULT 0;

-- One run over the accounts of a directory.
CREATE TABLE evaluations (
	env         TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id          TEXT NOT NULL,
	directory   TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	version     BIGINT NOT NULL,
	state       TEXT NOT NULL,             -- running, done, failed, cancelled
	problem     TEXT NOT NULL DEFAULT '',  -- of one that failed or waits
	scope       TEXT NOT NULL DEFAULT '',  -- sealed: which group or addresses; empty: everybody
	started_by  TEXT NOT NULL DEFAULT '',
	total       BIGINT NOT NULL DEFAULT 0,
	done        BIGINT NOT NULL DEFAULT 0,
	could       BIGINT NOT NULL DEFAULT 0, -- accounts that could recover in some way
	place       TEXT NOT NULL DEFAULT '',  -- row id of the last account that was looked at
	totals      TEXT NOT NULL DEFAULT '',  -- JSON: by reason, by group
	due_at      BIGINT NOT NULL DEFAULT 0, -- when a node must go on; also the lease of the one that does
	created_at  BIGINT NOT NULL,
	finished_at BIGINT NOT NULL DEFAULT 0,
	expires_at  BIGINT NOT NULL,           -- then it is deleted
	PRIMARY KEY (env, id)
);
CREATE UNIQUE INDEX evaluations_running ON evaluations (directory) WHERE state = 'running';
CREATE INDEX evaluations_due ON evaluations (due_at) WHERE due_at > 0;
CREATE INDEX evaluations_directory ON evaluations (env, directory, created_at);

CREATE TABLE evaluation_rows (
	env        TEXT NOT NULL,
	evaluation TEXT NOT NULL,
	account    TEXT NOT NULL,             -- row id
	could      BIGINT NOT NULL,
	reasons    TEXT NOT NULL DEFAULT '',  -- ",a,b,": what to filter by
	detail     TEXT NOT NULL,             -- sealed: who, and why
	PRIMARY KEY (env, evaluation, account),
	FOREIGN KEY (env, evaluation) REFERENCES evaluations (env, id) ON DELETE CASCADE
);
