-- Pictures of people, of whom a request asked for one: the selfie that was verified with a document, and the
-- picture that they or the organisation chose.

-- +goose Up

CREATE TABLE person_pictures (
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,
	kind       TEXT NOT NULL,   -- selfie, picture
	body       TEXT NOT NULL,   -- under the person's key
	created_at BIGINT NOT NULL,
	PRIMARY KEY (env, person, kind),
	FOREIGN KEY (env, person) REFERENCES people (env, id) ON DELETE CASCADE
);
