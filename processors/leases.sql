-- name: bury
UPDATE ingest.job_runs
SET ended_at = now(), outcome = 'died', message = coalesce(message, 'its lease ended')
WHERE job = %(job)s AND ended_at IS NULL AND leased_until < now()
RETURNING id

-- name: begin
-- The unique indexes decide between two that see the same: one run at a time, one of each attempt.
INSERT INTO ingest.job_runs (id, job, due_at, attempt, leased_until)
SELECT %(id)s, %(job)s, %(due_at)s::timestamptz,
    1 + (SELECT count(*) FROM ingest.job_runs WHERE job = %(job)s AND due_at = %(due_at)s::timestamptz),
    now() + %(seconds)s * interval '1 second'
WHERE %(due_at)s::timestamptz IS NULL OR (
    NOT EXISTS (
        SELECT FROM ingest.job_runs
        WHERE job = %(job)s AND due_at >= %(due_at)s::timestamptz
            AND (outcome IN ('done', 'failed') OR ended_at IS NULL)
    )
    AND %(most_deaths)s > (
        SELECT count(*) FROM ingest.job_runs
        WHERE job = %(job)s AND due_at = %(due_at)s::timestamptz AND outcome = 'died'
    )
)
ON CONFLICT DO NOTHING
RETURNING id

-- name: hold
UPDATE ingest.job_runs
SET leased_until = now() + %(seconds)s * interval '1 second', counts = %(counts)s
WHERE id = %(id)s AND ended_at IS NULL
RETURNING id

-- name: end
UPDATE ingest.job_runs
SET ended_at = now(), outcome = %(outcome)s, counts = coalesce(%(counts)s::jsonb, counts),
    message = %(message)s
WHERE id = %(id)s AND ended_at IS NULL
