-- name: imports
-- Whether an import is known, whether a producer of the previous release began it (its options name no
-- topic) and it has not ended, and whether such producers still run.
SELECT wanted.id::text, i.id IS NOT NULL,
    coalesce(NOT i.options ? 'topic'
        AND (i.completed_at IS NULL OR i.completed_at > now() - interval '1 hour'), false),
    coalesce(previous.latest > now() - interval '1 day' OR previous.is_all, false)
FROM unnest(%(imports)s::uuid[]) AS wanted (id)
LEFT JOIN ingest.imports i ON i.id = wanted.id
CROSS JOIN (
    SELECT max(created_at) FILTER (WHERE NOT options ? 'topic') AS latest,
        bool_and(NOT options ? 'topic') AS is_all
    FROM ingest.imports
) previous
