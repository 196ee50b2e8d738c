-- What a template asks of the proof besides claims.

-- +goose Up

ALTER TABLE requests ADD COLUMN mail_domains TEXT NOT NULL DEFAULT '[]'; -- JSON: domains of which a mail address must be; empty: any
ALTER TABLE requests ADD COLUMN selfie INTEGER NOT NULL DEFAULT 0;       -- 1: only a proof with a new selfie counts
