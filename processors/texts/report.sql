-- name: requests
SELECT kind, state, count(*)::integer AS requests FROM ingest.enrichment GROUP BY 1, 2 ORDER BY 1, 2

-- name: failures
SELECT code, count(*)::integer AS requests FROM ingest.enrichment
WHERE state = 'failed' GROUP BY 1 ORDER BY 2 DESC, 1

-- name: calls
SELECT state, count(*)::integer AS calls, sum(tokens)::bigint AS tokens, sum(cost)::float8 AS cost
FROM ingest.ai_calls
WHERE at > now() - %(days)s * interval '1 day' AND prompt_hash NOT LIKE 'probe %%'
GROUP BY 1 ORDER BY 1

-- name: probes
SELECT count(*)::integer AS calls, coalesce(sum(cost), 0)::float8 AS cost FROM ingest.ai_calls
WHERE at > now() - %(days)s * interval '1 day' AND prompt_hash LIKE 'probe %%'

-- name: repeated
-- Prompts of a call that was lost, which were asked once more. answered_twice: paid twice for sure.
SELECT count(*) FILTER (WHERE lost > 0 AND asked > 1)::integer AS after_a_loss,
    coalesce(sum(lost), 0)::integer AS lost_calls,
    count(*) FILTER (WHERE answered > 1)::integer AS answered_twice
FROM (
    SELECT count(*) FILTER (WHERE state IN ('lost', 'answered')) AS asked,
        count(*) FILTER (WHERE state = 'lost') AS lost,
        count(*) FILTER (WHERE state = 'answered') AS answered
    FROM ingest.ai_calls
    GROUP BY prompt_hash, ask
) prompts

-- name: budgets
-- Today's and this month's, and those of imports that had no room for a call.
SELECT scope, spent::float8, (spent + denied)::float8 AS wanted FROM ingest.ai_budgets
WHERE (scope LIKE 'import %%' AND denied IS NOT NULL) OR scope IN ('day ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
    'month ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'))
ORDER BY scope

-- name: paused
SELECT paused_at, paused_by, reason AS paused_for FROM ingest.ai_pauses

-- name: replaced
-- Texts that were written anew, by the reason of the request.
SELECT coalesce(reason, 'unknown') AS reason, count(*)::integer AS texts,
    count(*) FILTER (WHERE written_by = 'people')::integer AS edited
FROM ingest.text_history
WHERE replaced_at > now() - %(days)s * interval '1 day'
GROUP BY 1 ORDER BY 1

-- name: models
SELECT model, failures, open_until, open_reason, open_message, blocked_until, halted,
    nullif(halted_until, 'infinity') AS halted_until, unlimited, listed, ends_on
FROM ingest.ai_models
ORDER BY model

-- name: runs
-- Of the nightly plan; stopped_by: what ended it before all was asked for.
SELECT id::text, started_at, ended_at AS finished_at, outcome, counts, message AS stopped_by
FROM ingest.job_runs WHERE job = 'enrich-nightly' ORDER BY started_at DESC LIMIT 5

-- name: failed
-- The dead letters: what no retry will fix.
SELECT e.id::text, e.kind, e.entity_id::text, e.import_id::text, e.code, e.message, e.finished_at
FROM ingest.enrichment e
WHERE e.state = 'failed'
ORDER BY e.finished_at DESC
LIMIT %(limit)s

-- name: retry
UPDATE ingest.enrichment
SET state = 'noted', sent_at = NULL, tries = 0, not_before = now(), code = NULL,
    message = NULL, finished_at = NULL, asked_at = now(),
    reason = CASE WHEN reason IN ('regenerate', 'overwrite') THEN reason ELSE 'asked' END
WHERE state IN ('failed', 'left') AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s::uuid[]))
RETURNING id
