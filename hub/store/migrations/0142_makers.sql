-- Who made a key, and who asked.

-- +goose Up
ALTER TABLE api_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT ''; -- staff; empty: a key of a program did, or nobody's
UPDATE api_keys SET created_by = staff;
ALTER TABLE requests ADD COLUMN made_by TEXT NOT NULL DEFAULT '';   -- API key; empty: an application asked through OpenID Connect
ALTER TABLE requests ADD COLUMN requester TEXT NOT NULL DEFAULT ''; -- staff whose key that is; empty: a program's
CREATE INDEX requests_requester ON requests (requester) WHERE requester <> '';
