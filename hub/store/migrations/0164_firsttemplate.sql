-- Every environment has a template that is the default, also one that was made before it began with one.

-- +goose Up

INSERT INTO templates (env, id, name, is_default, body, created_at)
SELECT e.id, e.id, 'Default', 1, '{"enabled":true,"max_usages":1}', e.created_at
FROM environments e WHERE NOT EXISTS (SELECT 1 FROM templates t WHERE t.env = e.id);
