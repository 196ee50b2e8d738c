-- Storage that organisations hold themselves, for what was captured.

-- +goose Up

-- One setting of an environment. A former one stays as long as something lies there.
CREATE TABLE storages (
	env        TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	id         TEXT NOT NULL,
	secret     TEXT NOT NULL,              -- sealed: the settings, with their keys
	active     BIGINT NOT NULL,            -- 1: what is captured goes there
	created_at BIGINT NOT NULL,
	ok_at      BIGINT NOT NULL DEFAULT 0,
	failed_at  BIGINT NOT NULL DEFAULT 0,  -- later than ok_at: it fails
	next_at    BIGINT NOT NULL DEFAULT 0,  -- not before
	tries      BIGINT NOT NULL DEFAULT 0,  -- that failed in a row
	error      TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (env, id)
);

-- What was deleted here and must be deleted there.
CREATE TABLE storage_removals (
	env     TEXT NOT NULL,
	storage TEXT NOT NULL,
	object  TEXT NOT NULL,
	due_at  BIGINT NOT NULL DEFAULT 0, -- later for one that is being written: if it is not needed by then, nobody finished
	PRIMARY KEY (env, storage, object),
	FOREIGN KEY (env, storage) REFERENCES storages (env, id) ON DELETE CASCADE
);

-- Where a picture is: empty: body is the sealed picture; else body is the name of an
-- object that is.
ALTER TABLE review_images ADD COLUMN storage TEXT NOT NULL DEFAULT '';
CREATE INDEX review_images_here ON review_images (env, review) WHERE storage = '';
