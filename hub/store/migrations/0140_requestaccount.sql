-- Whose photo the people who read a document are shown beside the face.

-- +goose Up

ALTER TABLE requests ADD COLUMN account TEXT NOT NULL DEFAULT ''; -- row id of the account that an application means; empty: none
