-- How long presigned links of an environment may admit, where it says more or less than the product.

-- +goose Up

ALTER TABLE environments ADD COLUMN link_life BIGINT NOT NULL DEFAULT 0; -- seconds; 0: the product's
