-- Rows of the audit log that wait for their index, and those that have it, without a table
-- beside the index that they are: each is written with every event.

-- +goose Up

ALTER TABLE audit_pending RENAME TO audit_pending_before;
CREATE TABLE audit_pending (
	event TEXT NOT NULL PRIMARY KEY
) /* SQLite: WITHOUT ROWID */;
INSERT INTO audit_pending (event) SELECT event FROM audit_pending_before;
DROP TABLE audit_pending_before;

ALTER TABLE audit_entries RENAME TO audit_entries_before;
CREATE TABLE audit_entries (
	seq   BIGINT NOT NULL PRIMARY KEY, -- index in the log, from 0
	event TEXT NOT NULL UNIQUE
) /* SQLite: WITHOUT ROWID */;
INSERT INTO audit_entries (seq, event) SELECT seq, event FROM audit_entries_before ORDER BY seq;
DROP TABLE audit_entries_before;
