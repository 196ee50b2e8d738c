-- What the public API says of an environment beside its names.

-- +goose Up

ALTER TABLE environments ADD COLUMN callback_urls TEXT NOT NULL DEFAULT '[]'; -- JSON list, compared text for text
ALTER TABLE environments ADD COLUMN terms_url TEXT NOT NULL DEFAULT '';
