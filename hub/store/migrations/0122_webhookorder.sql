-- Deliveries in order, with what came of each, sealed; and the secret that a renewal ends.

-- +goose Up

ALTER TABLE webhook_deliveries ADD COLUMN content TEXT NOT NULL DEFAULT ''; -- sealed: body, headers, attempts; '': queued before, see body and attempts
ALTER TABLE webhook_deliveries ADD COLUMN person TEXT NOT NULL DEFAULT '';  -- whom it tells of, as in audit_persons
ALTER TABLE webhook_deliveries ADD COLUMN trace TEXT NOT NULL DEFAULT '';   -- the request or recovery
ALTER TABLE webhook_deliveries ADD COLUMN ord BIGINT NOT NULL DEFAULT 0;    -- order of those that tell of one person or trace
ALTER TABLE webhook_deliveries ADD COLUMN status BIGINT NOT NULL DEFAULT 0; -- of the last answer
ALTER TABLE webhook_deliveries ADD COLUMN erased BIGINT NOT NULL DEFAULT 0; -- the person was erased, and what it said with them

DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at) WHERE next_at > 0;
CREATE INDEX webhook_deliveries_person ON webhook_deliveries (webhook, person, ord) WHERE next_at > 0;
CREATE INDEX webhook_deliveries_trace ON webhook_deliveries (webhook, trace, ord) WHERE next_at > 0;
CREATE INDEX webhook_deliveries_whom ON webhook_deliveries (env, person);

ALTER TABLE webhook_secrets ADD COLUMN former TEXT NOT NULL DEFAULT '';         -- sealed; signs beside the present one
ALTER TABLE webhook_secrets ADD COLUMN former_until BIGINT NOT NULL DEFAULT 0;
