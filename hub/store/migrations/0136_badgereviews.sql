-- Photos for badges that people look at: cases beside those of documents, whose picture lies with the person's.

-- +goose Up

ALTER TABLE reviews ADD COLUMN about TEXT NOT NULL DEFAULT ''; -- '': a document; badge: the photo of person, who is one of people
CREATE INDEX reviews_badge ON reviews (env, person) WHERE about = 'badge';
