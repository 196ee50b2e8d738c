-- How far each webhook that hears of audit events was told of the log.

-- +goose Up

CREATE TABLE webhook_cursors (
	webhook TEXT PRIMARY KEY REFERENCES webhooks (id) ON DELETE CASCADE,
	seq     BIGINT NOT NULL -- index in the log of the next one, see audit_entries
);
INSERT INTO webhook_cursors (webhook, seq) SELECT w.id, h.size FROM webhooks w, audit_head h WHERE w.enabled = 1 AND w.events LIKE '%"audit"%';
