-- Photos of accounts, as an operator gave them. One per account; it goes with the account.

-- +goose Up

CREATE TABLE account_photos (
	account    BIGINT PRIMARY KEY, -- accounts.num
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,      -- accounts.id
	sha256     TEXT NOT NULL,      -- of the picture as it was sent, in hex
	body       TEXT NOT NULL,      -- sealed
	created_at BIGINT NOT NULL
);
CREATE INDEX account_photos_person ON account_photos (env, person);
