-- name: ended
-- An import whose retry is kept is kept as well: the retry still resolves its rejects. One that somebody
-- writes at this moment is left for the next time.
SELECT i.id FROM ingest.imports i
WHERE i.completed_at < %(before)s
    AND NOT EXISTS (
        SELECT FROM ingest.imports child
        WHERE child.parent = i.id AND (child.completed_at IS NULL OR child.completed_at >= %(before)s)
    )
ORDER BY i.completed_at
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: rejects_of
DELETE FROM ingest.rejects WHERE import_id = ANY(%(ids)s)

-- name: parked_of
DELETE FROM ingest.parked WHERE import_id = ANY(%(ids)s)

-- name: progress_of
DELETE FROM ingest.progress WHERE import_id = ANY(%(ids)s)

-- name: settled_early_of
DELETE FROM ingest.settled_early WHERE import_id = ANY(%(ids)s) OR child = ANY(%(ids)s)

-- name: enrichment_of
DELETE FROM ingest.enrichment WHERE import_id = ANY(%(ids)s)

-- name: enrichment_scans_of
DELETE FROM ingest.enrichment_scans WHERE import_id = ANY(%(ids)s)

-- name: ai_budgets_of
DELETE FROM ingest.ai_budgets WHERE scope IN (SELECT 'import ' || id FROM unnest(%(ids)s::uuid[]) AS id)

-- name: ai_import_costs_of
DELETE FROM ingest.ai_import_costs WHERE import_id = ANY(%(ids)s)

-- name: import_logs_of
DELETE FROM core_importlog WHERE id = ANY(%(ids)s)

-- name: forget
INSERT INTO ingest.forgotten (id, partition)
SELECT id, partition FROM ingest.imports WHERE id = ANY(%(ids)s)
ON CONFLICT (id) DO UPDATE
    SET partition = EXCLUDED.partition, forgotten_at = now(), published_at = NULL

-- name: imports_of
DELETE FROM ingest.imports WHERE id = ANY(%(ids)s)

-- name: rejects
-- Whoever they are of: they hold what people wrote. Not before Kafka has them.
DELETE FROM ingest.rejects WHERE id IN (
    SELECT id FROM ingest.rejects
    WHERE rejected_at < %(before)s AND published_at IS NOT NULL AND (settled_by IS NULL OR settled_told)
    ORDER BY rejected_at
    LIMIT %(limit)s
)

-- name: enrichment
-- Requests of nobody's import that are over.
DELETE FROM ingest.enrichment WHERE id IN (
    SELECT id FROM ingest.enrichment e
    WHERE e.finished_at < %(before)s AND e.state IN ('done', 'failed', 'left')
        AND NOT EXISTS (SELECT FROM ingest.imports i WHERE i.id = e.import_id)
    LIMIT %(limit)s
)

-- name: ai_calls
DELETE FROM ingest.ai_calls WHERE id IN (
    SELECT c.id FROM ingest.ai_calls c
    WHERE c.state <> 'started' AND (
        c.at < %(before)s
        OR EXISTS (
            SELECT FROM ingest.forgotten f WHERE f.id = c.import_id AND f.forgotten_at > c.at
        )
    )
    LIMIT %(limit)s
)

-- name: ai_rejected
DELETE FROM ingest.ai_rejected WHERE (prompt_hash, number) IN (
    SELECT prompt_hash, number FROM ingest.ai_rejected WHERE at < %(before)s LIMIT %(limit)s
)

-- name: ai_budgets
DELETE FROM ingest.ai_budgets WHERE scope IN (
    SELECT scope FROM ingest.ai_budgets
    WHERE scope BETWEEN 'day ' AND 'day ' || to_char(%(before)s AT TIME ZONE 'UTC', 'YYYY-MM-DD')
        OR (
            scope BETWEEN 'month ' AND 'month ' || to_char(%(before)s AT TIME ZONE 'UTC', 'YYYY-MM')
            AND scope <> 'month ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
        )
    LIMIT %(limit)s
)

-- name: ai_batches
DELETE FROM ingest.ai_batches WHERE id IN (
    SELECT id FROM ingest.ai_batches WHERE ended_at < %(before)s LIMIT %(limit)s
)

-- name: text_history
DELETE FROM ingest.text_history WHERE id IN (
    SELECT id FROM ingest.text_history WHERE replaced_at < %(before)s LIMIT %(limit)s
)

-- name: progress
DELETE FROM ingest.progress p WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM ingest.progress o
    WHERE o.updated_at < %(before)s AND NOT EXISTS (SELECT FROM ingest.imports i WHERE i.id = o.import_id)
    LIMIT %(limit)s
))

-- name: import_logs
-- Of the system before this one.
DELETE FROM core_importlog WHERE id IN (
    SELECT l.id FROM core_importlog l
    WHERE l.created_at < %(before)s AND NOT EXISTS (SELECT FROM ingest.imports i WHERE i.id = l.id)
    LIMIT %(limit)s
)

-- name: forgotten
DELETE FROM ingest.forgotten WHERE id IN (
    SELECT id FROM ingest.forgotten WHERE published_at < %(before)s LIMIT %(limit)s
)

-- name: job_runs
DELETE FROM ingest.job_runs WHERE id IN (
    SELECT id FROM ingest.job_runs WHERE ended_at < %(before)s LIMIT %(limit)s
)
