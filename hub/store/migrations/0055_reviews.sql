-- Captured documents that people look at, and what they decided.

-- +goose Up

-- A case. All that was captured is sealed under its own key: without the key it is gone.
CREATE TABLE reviews (
	env            TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id             TEXT NOT NULL,
	version        BIGINT NOT NULL,
	verification   TEXT NOT NULL,
	directory      TEXT NOT NULL,
	person         TEXT NOT NULL,              -- row id of the account
	secret         TEXT NOT NULL,              -- sealed: the key of the case; empty: erased
	state          TEXT NOT NULL,              -- open, waiting, rejected, closed
	round          BIGINT NOT NULL DEFAULT 1,  -- 2: after an appeal
	reviewers      BIGINT NOT NULL DEFAULT 1,  -- how many people must agree
	outcome        TEXT NOT NULL DEFAULT '',
	details        TEXT NOT NULL DEFAULT '',   -- under the key of the case
	consent_at     BIGINT NOT NULL DEFAULT 0,
	assigned       TEXT NOT NULL DEFAULT '',   -- a reviewer
	assigned_until BIGINT NOT NULL DEFAULT 0,
	created_at     BIGINT NOT NULL,
	submitted_at   BIGINT NOT NULL DEFAULT 0,
	due_at         BIGINT NOT NULL DEFAULT 0,
	decided_at     BIGINT NOT NULL DEFAULT 0,
	settled_at     BIGINT NOT NULL DEFAULT 0,  -- when the verification was told
	ends_at        BIGINT NOT NULL,            -- when nothing waits for it any more
	PRIMARY KEY (env, id)
);
CREATE INDEX reviews_verification ON reviews (env, verification);
CREATE INDEX reviews_state ON reviews (state, ends_at);

CREATE TABLE review_images (
	env    TEXT NOT NULL,
	review TEXT NOT NULL,
	kind   TEXT NOT NULL, -- front, back, selfie
	body   TEXT NOT NULL, -- under the key of the case
	PRIMARY KEY (env, review, kind),
	FOREIGN KEY (env, review) REFERENCES reviews (env, id) ON DELETE CASCADE
);

-- Who decided what. One person decides once about a case, in whatever round.
CREATE TABLE review_votes (
	env      TEXT NOT NULL,
	review   TEXT NOT NULL,
	reviewer TEXT NOT NULL,
	round    BIGINT NOT NULL,
	verdict  TEXT NOT NULL,
	reason   TEXT NOT NULL,
	checks   TEXT NOT NULL,
	made_at  BIGINT NOT NULL,
	PRIMARY KEY (env, review, reviewer),
	FOREIGN KEY (env, review) REFERENCES reviews (env, id) ON DELETE CASCADE
);

-- How an environment reviews.
CREATE TABLE review_settings (
	env    TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
	secret TEXT NOT NULL -- sealed: the settings, with the key of the analyzer
);
