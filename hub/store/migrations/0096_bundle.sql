-- What the recovery pages of an environment are made of, as the hub that was started last knows it.

-- +goose Up

CREATE TABLE page_bundles (
	env   TEXT NOT NULL PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	hash  TEXT NOT NULL,              -- SHA-256 of the list of files, hexadecimal
	since BIGINT NOT NULL
);
