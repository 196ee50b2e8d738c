-- Pictures of people and photos of accounts may lie in storage that the organisation holds itself, as those of cases
-- do: storage '' means here.

-- +goose Up

-- body is the name of the object there, which is under the person's key.
ALTER TABLE person_pictures ADD COLUMN storage TEXT NOT NULL DEFAULT '';
CREATE INDEX person_pictures_here ON person_pictures (env, person) WHERE storage = '' AND kind IN ('selfie', 'picture');
CREATE INDEX person_pictures_there ON person_pictures (env, storage) WHERE storage <> '';

-- body is the key of the object there, sealed; clean is the SHA-256 of what it holds, in hex.
ALTER TABLE account_photos ADD COLUMN storage TEXT NOT NULL DEFAULT '';
ALTER TABLE account_photos ADD COLUMN object TEXT NOT NULL DEFAULT '';
ALTER TABLE account_photos ADD COLUMN clean TEXT NOT NULL DEFAULT '';
CREATE INDEX account_photos_here ON account_photos (env, person) WHERE storage = '' AND expires_at = 0;
CREATE INDEX account_photos_there ON account_photos (env, storage) WHERE storage <> '';
