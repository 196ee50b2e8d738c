-- A photo that the directory lent for recoveries ends by itself; one that an operator gave
-- has no end.

-- +goose Up

ALTER TABLE account_photos ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX account_photos_expires ON account_photos (expires_at) WHERE expires_at > 0;
