-- How many mails an environment sends a day to addresses that people who answer requests
-- type in.

-- +goose Up

ALTER TABLE environments ADD COLUMN request_mails BIGINT NOT NULL DEFAULT 0; -- 0: the default
