-- Keys that somebody of the staff gave a command line end with what that person may do.

-- +goose Up
ALTER TABLE api_keys ADD COLUMN staff TEXT NOT NULL DEFAULT '';

-- Until now it was not written down whose they are: sign in again.
DELETE FROM api_keys WHERE name LIKE 'Command line of %' AND expires_at > 0;
