-- Orders that ran out are told of once: whoever looks finds them by when they end.

-- +goose Up
CREATE INDEX act_orders_ends ON act_orders (ends_at) WHERE state = 'waiting';
