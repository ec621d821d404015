-- name: locked
SELECT halted IS NOT NULL AS halted, refused FROM ingest.ai_models WHERE model = %(model)s FOR UPDATE

-- name: halt
-- What was under way when it was halted does not make the halt longer.
UPDATE ingest.ai_models
SET halted = %(reason)s, probe_until = NULL, proven = '{}', refused = '{}',
    halted_for = least(greatest(2 * halted_for, %(least)s), %(most)s),
    halted_until = statement_timestamp()
        + least(greatest(2 * halted_for, %(least)s), %(most)s) * interval '1 second'
WHERE model = %(model)s AND (halted IS NULL OR %(again)s)
RETURNING halted_for

-- name: halt_for_good
UPDATE ingest.ai_models
SET halted = %(reason)s, probe_until = NULL, proven = '{}', halted_until = 'infinity'
WHERE model = %(model)s

-- name: row
UPDATE ingest.ai_models SET refused = %(refused)s WHERE model = %(model)s

-- name: doubt
UPDATE ingest.ai_models SET proven = '{}' WHERE model = %(model)s

-- name: unfail
-- The requests of these prompts wait for the end of the halt, behind those that come then.
UPDATE ingest.enrichment
SET code = 'halted', message = %(reason)s, tries = tries + 1,
    not_before = now() + %(seconds)s * interval '1 second'
WHERE state = 'pending' AND code = %(code)s AND id IN (
    SELECT request_id FROM ingest.ai_calls WHERE prompt_hash = ANY(%(hashes)s)
)

-- name: answered
UPDATE ingest.ai_models SET refused = '{}', halted_for = 0
WHERE model = %(model)s AND halted IS NULL AND (refused <> '{}' OR halted_for > 0)

-- name: due
-- Whether the probe is to be asked: these settings are not proven, and no other process asks it.
-- Nothing is asked in a pause.
SELECT FROM ingest.ai_models
WHERE model = %(model)s AND NOT %(settings)s = ANY(proven)
    AND coalesce(halted_until, '-infinity') <= statement_timestamp()
    AND coalesce(probe_until, '-infinity') <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM ingest.ai_pauses)
FOR UPDATE

-- name: ask_again
UPDATE ingest.ai_models SET probe_until = NULL WHERE model = %(model)s

-- name: prove
-- The last settings that were proven: workers with others may run beside this one.
UPDATE ingest.ai_models
SET proven = (array_prepend(%(settings)s::text, array_remove(proven, %(settings)s::text)))[1:8],
    refused = '{}', halted = NULL, halted_until = NULL, probe_until = NULL, unlimited = %(unlimited)s
WHERE model = %(model)s

-- name: resume
UPDATE ingest.ai_models SET halted = NULL, halted_until = NULL
WHERE model = %(model)s AND halted IS NOT NULL
