-- Whether status lists of issuers are read for documents of wallets.

-- +goose Up

ALTER TABLE environments ADD COLUMN credential_status TEXT NOT NULL DEFAULT 'prefer'; -- require, prefer, ignore
ALTER TABLE environments ADD COLUMN status_hosts TEXT NOT NULL DEFAULT '[]';          -- JSON: hosts that lists are read from; empty: whichever the document names
