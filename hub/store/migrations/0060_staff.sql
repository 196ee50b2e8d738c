-- Staff of an organisation, and what people vouch for.

-- +goose Up

CREATE TABLE staff (
	org             TEXT NOT NULL REFERENCES organisations (id) ON DELETE CASCADE,
	id              TEXT NOT NULL,
	name            TEXT NOT NULL,
	mail            TEXT NOT NULL,             -- lower case
	role            TEXT NOT NULL,             -- of the console; empty: approves only
	directory       TEXT NOT NULL DEFAULT '',  -- the person's own account, where it is known
	account         TEXT NOT NULL DEFAULT '',
	created_at      BIGINT NOT NULL,
	suspended_until BIGINT NOT NULL DEFAULT 0, -- after their own account was recovered
	PRIMARY KEY (org, id),
	UNIQUE (org, mail)
);

-- Passkeys. One is of one relying party: those that approve recoveries and those that
-- sign in to the console are never the same.
CREATE TABLE staff_keys (
	org        TEXT NOT NULL,
	id         TEXT NOT NULL,
	staff      TEXT NOT NULL,
	rp         TEXT NOT NULL,
	credential TEXT NOT NULL, -- SHA-256 of its id
	secret     TEXT NOT NULL, -- sealed, so that no row can be put in from outside: the public key
	made_at    BIGINT NOT NULL,
	active_at  BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (org, id),
	UNIQUE (rp, credential),
	FOREIGN KEY (org, staff) REFERENCES staff (org, id) ON DELETE CASCADE
);

-- Invitations: each makes one passkey, once.
CREATE TABLE staff_links (
	hash       TEXT PRIMARY KEY,
	org        TEXT NOT NULL,
	staff      TEXT NOT NULL,
	rp         TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL DEFAULT 0,
	FOREIGN KEY (org, staff) REFERENCES staff (org, id) ON DELETE CASCADE
);

-- Challenges that a sign-in has answered.
CREATE TABLE staff_challenges (
	hash       TEXT PRIMARY KEY,
	expires_at BIGINT NOT NULL
);

ALTER TABLE console_sessions ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE console_sessions ADD COLUMN staff TEXT NOT NULL DEFAULT ''; -- empty: by the link that init printed
ALTER TABLE console_sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';

-- A request to vouch for somebody, or to prove them by hand.
CREATE TABLE approvals (
	env          TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id           TEXT NOT NULL,
	verification TEXT NOT NULL,
	kind         TEXT NOT NULL,            -- approval, manual
	directory    TEXT NOT NULL,
	account      TEXT NOT NULL,
	people       BIGINT NOT NULL,          -- how many must agree
	state        TEXT NOT NULL,            -- open, accepted, denied, closed
	details      TEXT NOT NULL,            -- sealed
	made_at      BIGINT NOT NULL,
	ends_at      BIGINT NOT NULL,
	settled_at   BIGINT NOT NULL DEFAULT 0, -- when the verification was told
	touched      BIGINT NOT NULL DEFAULT 0, -- counts decisions, so that they come one after the other
	PRIMARY KEY (env, id)
);
CREATE INDEX approvals_verification ON approvals (env, verification);
CREATE INDEX approvals_state ON approvals (state, ends_at);

-- One person who is asked. They decide once.
CREATE TABLE approval_asks (
	env        TEXT NOT NULL,
	approval   TEXT NOT NULL,
	staff      TEXT NOT NULL,
	token      TEXT NOT NULL UNIQUE,       -- hash of the link's secret
	state      TEXT NOT NULL,              -- asked, approved, denied
	tries      BIGINT NOT NULL DEFAULT 0,  -- wrong numbers
	proof      TEXT NOT NULL DEFAULT '',   -- sealed: what the person signed or wrote
	made_at    BIGINT NOT NULL,
	decided_at BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (env, approval, staff),
	FOREIGN KEY (env, approval) REFERENCES approvals (env, id) ON DELETE CASCADE
);
CREATE INDEX approval_asks_staff ON approval_asks (env, staff, state);
