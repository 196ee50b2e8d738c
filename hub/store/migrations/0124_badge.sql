-- Pictures of people on their way to a webhook: whoever knows the link reads one for a while.

-- +goose Up

CREATE TABLE picture_links (
	hash       TEXT PRIMARY KEY, -- of the link's secret
	env        TEXT NOT NULL,
	person     TEXT NOT NULL,
	body       TEXT NOT NULL,    -- under the person's key
	expires_at BIGINT NOT NULL,
	FOREIGN KEY (env, person) REFERENCES people (env, id) ON DELETE CASCADE
);
CREATE INDEX picture_links_person ON picture_links (env, person);
CREATE INDEX picture_links_expires ON picture_links (expires_at);
