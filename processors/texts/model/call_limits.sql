-- name: begin
-- A worker that starts clears what halted the last one: the probe shows whether it is fixed.
INSERT INTO ingest.ai_models (model) VALUES (%(model)s)
ON CONFLICT (model) DO UPDATE SET halted = NULL, halted_until = NULL, halted_for = 0

-- name: retire
UPDATE ingest.ai_models
SET failures = 0, open_until = NULL, open_reason = NULL, opened_for = 0, probe_until = NULL,
    open_message = NULL, blocked_until = NULL, halted = NULL, halted_until = NULL, halted_for = 0
WHERE model = %(model)s

-- name: lock
-- A pause is as a halt that an operator ends.
SELECT coalesce(halted, (SELECT 'paused' FROM ingest.ai_pauses)) AS halted, failures, open_until,
    open_reason, opened_for, probe_until, blocked_until,
    open_until > statement_timestamp() AS shut, proven
FROM ingest.ai_models WHERE model = %(model)s
FOR UPDATE

-- name: usage
-- After the lock, so that two workers never count the same room. asked: this row is still ours.
SELECT statement_timestamp() AS now,
    (
        SELECT count(*) FROM ingest.ai_calls
        WHERE model = %(model)s AND state = 'started' AND until > statement_timestamp()
    ) AS running,
    (
        SELECT coalesce(sum(tokens), 0) FROM ingest.ai_calls
        WHERE model = %(model)s AND at > statement_timestamp() - %(window)s * interval '1 second'
    ) AS tokens,
    (
        SELECT extract(epoch FROM min(at) - statement_timestamp()) FROM ingest.ai_calls
        WHERE model = %(model)s AND at > statement_timestamp() - %(window)s * interval '1 second'
    )::float8 AS oldest,
    (
        -- Of so many calls the first: as long as it is in the window there is no room for another.
        SELECT extract(epoch FROM at - statement_timestamp())
        FROM ingest.ai_calls
        WHERE model = %(model)s AND at > statement_timestamp() - %(window)s * interval '1 second'
        ORDER BY at DESC OFFSET %(calls)s - 1 LIMIT 1
    )::float8 AS full_since

-- name: spent
INSERT INTO ingest.ai_budgets (scope) SELECT unnest(%(scopes)s::text[]) ORDER BY 1
ON CONFLICT (scope) DO NOTHING

-- name: spent_now
SELECT scope, spent FROM ingest.ai_budgets WHERE scope = ANY(%(scopes)s) ORDER BY scope FOR UPDATE

-- name: deny
UPDATE ingest.ai_budgets SET denied = %(cost)s
WHERE scope = %(scope)s AND denied IS DISTINCT FROM %(cost)s

-- name: wanted
SELECT scope, spent + denied FROM ingest.ai_budgets WHERE scope = ANY(%(scopes)s) AND denied IS NOT NULL

-- name: budgets
SELECT scope, spent FROM ingest.ai_budgets WHERE scope = ANY(%(scopes)s)

-- name: spend
-- And what the import has cost, by kind and day.
WITH shown AS (
    INSERT INTO ingest.ai_import_costs AS known (import_id, day, kind, cost)
    SELECT e.import_id, (%(at)s::timestamptz AT TIME ZONE 'UTC')::date, e.kind, %(cost)s
    FROM ingest.enrichment e
    WHERE e.id = %(request_id)s AND e.import_id = %(import_id)s
    ON CONFLICT (import_id, day, kind) DO UPDATE SET cost = known.cost + EXCLUDED.cost
)
UPDATE ingest.ai_budgets SET spent = spent + %(cost)s WHERE scope = ANY(%(scopes)s)

-- name: call
INSERT INTO ingest.ai_calls (
    model, at, until, request_id, prompt_hash, ask, import_id, tokens, cost
)
VALUES (
    %(model)s, statement_timestamp(), statement_timestamp() + %(seconds)s * interval '1 second',
    %(request_id)s, %(prompt_hash)s, %(ask)s, %(import_id)s, %(tokens)s, %(cost)s
)
RETURNING id

-- name: probe
UPDATE ingest.ai_models
SET probe_until = statement_timestamp() + %(seconds)s * interval '1 second'
WHERE model = %(model)s

-- name: account
-- Once. A call that its worker was too late with is lost already, without a code: what it used is
-- known all the same.
WITH before AS (
    SELECT * FROM ingest.ai_calls
    WHERE id = %(id)s AND state IN ('started', 'lost') AND code IS NULL
    FOR UPDATE
)
UPDATE ingest.ai_calls c
SET state = %(state)s, code = %(code)s, tokens = coalesce(%(tokens)s, b.tokens),
    cost = coalesce(%(cost)s, b.cost)
FROM before b
WHERE c.id = b.id
RETURNING c.cost - b.cost AS cost, b.request_id, b.import_id, b.at

-- name: works
UPDATE ingest.ai_models
SET failures = 0, open_until = NULL, open_reason = NULL, open_message = NULL, opened_for = 0,
    probe_until = NULL
WHERE model = %(model)s AND (failures > 0 OR open_until IS NOT NULL)

-- name: failed
UPDATE ingest.ai_models SET failures = failures + 1, probe_until = NULL
WHERE model = %(model)s

-- name: unprobed
-- The call that tried whether the breaker may close was not answered: another one will.
UPDATE ingest.ai_models SET probe_until = NULL WHERE model = %(model)s AND probe_until IS NOT NULL

-- name: open
UPDATE ingest.ai_models
SET open_until = statement_timestamp() + %(seconds)s * interval '1 second',
    open_reason = %(reason)s, open_message = %(message)s, opened_for = %(seconds)s, probe_until = NULL
WHERE model = %(model)s

-- name: last_answers
-- Requests that a filter or a limit refused were not answered, but count in the same way.
SELECT count(*), count(code) FROM (
    SELECT code FROM ingest.ai_calls
    WHERE model = %(model)s
        AND (state = 'answered' OR state = 'failed' AND code IN ('content-filter', 'too-large', 'length'))
    ORDER BY at DESC LIMIT %(answers)s
) last

-- name: block
UPDATE ingest.ai_models
SET blocked_until = greatest(
    blocked_until, statement_timestamp() + %(seconds)s * interval '1 second'
)
WHERE model = %(model)s

-- name: lost
-- Calls of dead workers: they may have been paid, so what was reserved stays spent.
UPDATE ingest.ai_calls SET state = 'lost'
WHERE model = %(model)s AND state = 'started' AND until < statement_timestamp()
RETURNING id

-- name: standing
-- shut: neither a call nor a probe is to be made.
SELECT open_until IS NOT NULL AS open, proven,
    coalesce(halted, (SELECT 'paused' FROM ingest.ai_pauses)) AS halted,
    halted IS NULL AND EXISTS (SELECT FROM ingest.ai_pauses) AS paused,
    (halted IS NOT NULL AND coalesce(halted_until > statement_timestamp(), true))
        OR EXISTS (SELECT FROM ingest.ai_pauses)
        OR coalesce(greatest(open_until, blocked_until) > statement_timestamp(), false) AS shut
FROM ingest.ai_models
WHERE model = %(model)s
