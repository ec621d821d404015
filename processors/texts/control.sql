-- name: pause
INSERT INTO ingest.ai_pauses (paused_by, reason) VALUES (%(by)s, %(reason)s)
ON CONFLICT DO NOTHING RETURNING paused_at

-- name: resume
-- Of a halt too: the probe is asked at once.
WITH ended AS (DELETE FROM ingest.ai_pauses)
UPDATE ingest.ai_models SET halted = NULL, halted_until = NULL, halted_for = 0
WHERE halted IS NOT NULL
RETURNING model

-- name: set_budget
INSERT INTO ingest.ai_limits (kind, amount) VALUES (%(kind)s, %(amount)s)
ON CONFLICT (kind) DO UPDATE SET amount = EXCLUDED.amount, set_at = now()
RETURNING kind

-- name: reset_budget
DELETE FROM ingest.ai_limits WHERE kind = %(kind)s RETURNING kind

-- name: budgets
SELECT kind, amount FROM ingest.ai_limits
