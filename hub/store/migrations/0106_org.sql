-- From where the REST API and the console of an organisation may be used.

-- +goose Up

ALTER TABLE organisations ADD COLUMN allowed_addresses TEXT NOT NULL DEFAULT '[]';
