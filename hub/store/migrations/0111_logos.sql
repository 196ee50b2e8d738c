-- Pictures of environments and directories. They are public: pages show them.

-- +goose Up

CREATE TABLE env_logos (
	env   TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
	kind  TEXT NOT NULL, -- install, mobile, qr
	sum   TEXT NOT NULL, -- SHA-256 of the picture, hexadecimal: its name in addresses
	media TEXT NOT NULL,
	body  TEXT NOT NULL, -- base64
	PRIMARY KEY (env, kind)
);
CREATE INDEX env_logos_sum ON env_logos (sum);

CREATE TABLE directory_logos (
	directory TEXT PRIMARY KEY REFERENCES directories (id) ON DELETE CASCADE,
	env       TEXT NOT NULL,
	sum       TEXT NOT NULL,
	media     TEXT NOT NULL,
	body      TEXT NOT NULL
);
CREATE INDEX directory_logos_sum ON directory_logos (sum);

-- Nothing wrote these.
ALTER TABLE environments DROP COLUMN logo;
ALTER TABLE environments DROP COLUMN logo_type;
