-- Keys that somebody of the staff gave a command line end with what that person may do.

-- +goose Up
ALTER TABLE api_keys ADD COLUMN staff TEXT NOT NULL DEFAULT '';
