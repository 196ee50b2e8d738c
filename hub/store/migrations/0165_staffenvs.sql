-- Staff may be limited to some environments; everybody who is there reaches all.

-- +goose Up
ALTER TABLE staff ADD COLUMN envs TEXT NOT NULL DEFAULT '["*"]'; -- JSON; "*": all
