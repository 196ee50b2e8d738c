-- Account operations: what administrators ask of an account beside recovery, each once.

-- +goose Up

CREATE TABLE account_acts (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,            -- the hub's random part, base64url
	directory  TEXT NOT NULL REFERENCES directories (id) ON DELETE CASCADE,
	account    TEXT NOT NULL,            -- canonical immutable id
	person     TEXT NOT NULL,            -- row id of the account
	operation  TEXT NOT NULL,            -- canonical, with its parameter
	agent      TEXT NOT NULL,            -- that began it
	agent_part TEXT NOT NULL,            -- its random part, base64url
	not_after  BIGINT NOT NULL,          -- Unix seconds, by the agent's clock
	context    TEXT NOT NULL,
	entry      TEXT NOT NULL,            -- row of the audit log that says what is asked
	state      TEXT NOT NULL,
	code       TEXT NOT NULL DEFAULT '', -- why, unless done
	changes    TEXT NOT NULL,            -- JSON: what the agent foresaw
	created_at BIGINT NOT NULL,
	due_at     BIGINT NOT NULL,          -- when the hub looks again; 0: it ended
	PRIMARY KEY (env, id)
);
CREATE INDEX account_acts_due ON account_acts (due_at) WHERE due_at > 0;
CREATE INDEX account_acts_account ON account_acts (env, person, created_at);
