-- Keys of relying parties that lie with a signer outside of the hub: of those there is no private part.

-- +goose Up

ALTER TABLE oidc_keys ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '' CHECK (fingerprint = '' OR private = ''); -- SHA256:… as ssh-add prints it; empty: sealed in private
