-- Environments that were removed by an older version stand in nobody's list any more. A list
-- of which nothing is left stays empty, which reaches nothing, and a key that has one is
-- switched off, as at a removal now. Lists with "*" are of all, and stay. An invitation says
-- who made it.

-- +goose Up

UPDATE staff SET envs = COALESCE((SELECT '[' || STRING_AGG('"' || e.id || '"', ',' ORDER BY e.created_at, e.id) || ']'
	FROM environments e WHERE e.org = staff.org AND REPLACE(staff.envs, '"' || e.id || '"', '') <> staff.envs), '[]')
WHERE envs LIKE '["%' AND envs NOT LIKE '%"*"%';
UPDATE api_keys SET envs = COALESCE((SELECT '[' || STRING_AGG('"' || e.id || '"', ',' ORDER BY e.created_at, e.id) || ']'
	FROM environments e WHERE e.org = api_keys.org AND REPLACE(api_keys.envs, '"' || e.id || '"', '') <> api_keys.envs), '[]')
WHERE envs LIKE '["%' AND envs NOT LIKE '%"*"%';
UPDATE api_keys SET enabled = 0 WHERE envs = '[]';
ALTER TABLE staff_links ADD COLUMN invited_by TEXT NOT NULL DEFAULT ''; -- a person or an API key; empty: the hub's own machine, or an older version
