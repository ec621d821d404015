-- name: import
SELECT id, file_name, file_sha256, uploaded_by, status, created_at, completed_at,
    options ? 'topic' AS has_topic
FROM ingest.imports WHERE id = %(id)s

-- name: rejects
SELECT id, topic, partition, "offset", import_id, line, sheet, faults, rejected_at
FROM ingest.rejects
WHERE topic = ANY (%(topics)s)
    AND (key = %(key)s OR (import_id = %(import)s::uuid AND line = %(line)s::integer))
ORDER BY rejected_at DESC
LIMIT 20

-- name: pages
SELECT to_jsonb(p) AS page FROM enterprise_prolocalisation p
WHERE p.entreprise_id = %(id)s ORDER BY p.created_at LIMIT 20

-- name: texts
-- Asked for this row or one of its pages, and the calls of each: those of the same prompt, paid once.
-- A void call was never made: its permit expired.
SELECT e.kind, e.entity_id, e.reason, e.state, e.asked_at, e.finished_at, e.code, e.import_id,
    c.models, c.calls, c.tokens, c.cost
FROM ingest.enrichment e
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT model ORDER BY model) AS models, count(*) AS calls,
        coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost
    FROM ingest.ai_calls WHERE prompt_hash = e.prompt_hash AND state <> 'void'
) c
WHERE e.entity_id = ANY(%(ids)s::uuid[])
ORDER BY e.asked_at DESC, e.id
LIMIT 20

-- name: parked
SELECT topic, partition, "offset", import_id, line, sheet, parent_name, parent_key, parked_at
FROM ingest.parked
WHERE topic = ANY (%(topics)s) AND parent_key = %(key)s
ORDER BY parked_at
LIMIT 20
