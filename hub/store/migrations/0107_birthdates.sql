-- Birth dates of accounts that an operator gave over the API. Those of directories stand in accounts.

-- +goose Up

CREATE TABLE account_birth_dates (
	account    BIGINT PRIMARY KEY, -- accounts.num
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,      -- accounts.id
	body       TEXT NOT NULL,      -- sealed: a hash
	created_at BIGINT NOT NULL
);
CREATE INDEX account_birth_dates_person ON account_birth_dates (env, person);
