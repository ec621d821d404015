-- name: oldest
SELECT coalesce(greatest(extract(epoch FROM now() - min(created_at)), 0), 0)::float8
FROM ingest.imports
WHERE completed_at IS NULL AND status <> 'PAUSED' AND partition = ANY(%(partitions)s)

-- name: drift
-- As in the job check-accounts, for imports that are unfinished or finished within a day: rows of the
-- unfinished ones may still come, but never more than total_rows.
SELECT coalesce(sum(
    CASE WHEN completed_at IS NULL THEN greatest(accounted - total_rows, 0)
        ELSE abs(accounted - total_rows) END
), 0)::bigint
FROM (
    SELECT i.completed_at, i.total_rows, coalesce(sum(p.inserted + p.updated + p.unchanged
        + p.duplicate + p.stale + p.rejected + p.parked + p.cancelled), 0) AS accounted
    FROM ingest.imports i LEFT JOIN ingest.progress p ON p.import_id = i.id
    WHERE i.partition = ANY(%(partitions)s) AND i.total_rows IS NOT NULL AND i.error IS NULL
        AND (i.completed_at IS NULL OR i.completed_at > now() - interval '1 day')
    GROUP BY i.id
) AS accounts

-- name: parked
SELECT topic, count(*)
FROM ingest.parked
WHERE (topic, partition) IN (
    SELECT topic, partition
    FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS assigned (topic, partition)
)
GROUP BY topic
