-- name: lease
-- The oldest open batch that no process works on.
UPDATE ingest.ai_batches
SET lease = %(lease)s, leased_until = now() + %(seconds)s * interval '1 second'
WHERE id = (
    SELECT id FROM ingest.ai_batches
    WHERE ended_at IS NULL AND filled AND leased_until < now() AND model = %(model)s
    ORDER BY made_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, provider_id

-- name: release
UPDATE ingest.ai_batches SET leased_until = now() WHERE lease = %(lease)s

-- name: make
INSERT INTO ingest.ai_batches (id, model, lease, leased_until)
VALUES (%(id)s, %(model)s, %(lease)s, now() + %(seconds)s * interval '1 second')
ON CONFLICT (id) DO NOTHING

-- name: filled
UPDATE ingest.ai_batches SET filled = true WHERE id = %(id)s

-- name: drop
DELETE FROM ingest.ai_batches WHERE id = %(id)s

-- name: requests
UPDATE ingest.enrichment e
SET state = 'running', lease = %(lease)s, leased_until = now() + %(seconds)s * interval '1 second'
WHERE e.id IN (
    SELECT id FROM ingest.enrichment
    WHERE state = 'pending' AND not_before <= now() AND reason IN ('missing', 'expired', 'low-quality')
    ORDER BY priority, turn, asked_at, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING e.id, e.kind, e.entity_id, e.import_id, e.reason, e.tries, e.lease,
    ingest.text_generation(e.generation, e.entity_id, e.kind) AS generation, e.code

-- name: add
INSERT INTO ingest.ai_batch_items (batch_id, request_id, call_id, prompt_hash, input_hash, body)
VALUES (%(batch)s, %(request)s, %(call)s, %(hash)s, %(input_hash)s, %(body)s)

-- name: bodies
-- Not of companies that were masked since the batch was made.
SELECT i.request_id, i.body
FROM ingest.ai_batch_items i
JOIN ingest.enrichment r ON r.id = i.request_id
LEFT JOIN enterprise_prolocalisation p ON p.id = r.entity_id
LEFT JOIN enterprise_entreprise e ON e.id = p.entreprise_id
WHERE i.batch_id = %(id)s AND ingest.is_partly_disclosed(e.siren) IS NOT TRUE
ORDER BY i.request_id

-- name: sent
-- And how many calls it is.
UPDATE ingest.ai_batches b
SET provider_id = %(provider_id)s, sent_at = now(),
    requests = (SELECT count(*) FROM ingest.ai_batch_items i WHERE i.batch_id = b.id)
WHERE id = %(id)s
RETURNING requests

-- name: keep
UPDATE ingest.ai_batches SET leased_until = now() + %(seconds)s * interval '1 second'
WHERE id = %(id)s AND lease = %(lease)s

-- name: items
SELECT request_id, call_id, prompt_hash, input_hash, body FROM ingest.ai_batch_items i
JOIN ingest.ai_batches b ON b.id = i.batch_id AND b.lease = %(lease)s
WHERE batch_id = %(id)s
ORDER BY request_id
LIMIT %(limit)s

-- name: leave
DELETE FROM ingest.ai_batch_items WHERE batch_id = %(batch)s AND request_id = %(request)s

-- name: request
-- By the lease of the batch, which it may have lost.
SELECT id, kind, entity_id, import_id, reason, tries, %(batch)s::uuid AS lease,
    ingest.text_generation(generation, entity_id, kind) AS generation, code
FROM ingest.enrichment WHERE id = %(request)s

-- name: over
UPDATE ingest.ai_batches
SET ended_at = now(), outcome = %(outcome)s, reason = %(reason)s, files = %(files)s,
    requests = coalesce(requests, %(requests)s)
WHERE id = %(id)s

-- name: room
-- Half of the smallest that was too large within a day; and whether a batch is open.
SELECT (
        SELECT min(requests) / 2 FROM ingest.ai_batches
        WHERE model = %(model)s AND outcome = %(too_large)s AND ended_at > now() - interval '1 day'
    ),
    EXISTS (SELECT FROM ingest.ai_batches WHERE model = %(model)s AND ended_at IS NULL)

-- name: untidy
SELECT id, files FROM ingest.ai_batches
WHERE model = %(model)s AND files <> '{}' AND ended_at IS NOT NULL
ORDER BY ended_at
LIMIT 1

-- name: tidied
UPDATE ingest.ai_batches SET files = array_remove(files, %(file)s) WHERE id = %(id)s

-- name: asked
SELECT 1 FROM ingest.ai_batch_items WHERE prompt_hash = %(hash)s LIMIT 1

-- name: unfilled
-- A process died while it made a batch: it goes out as it is.
WITH empty AS (
    DELETE FROM ingest.ai_batches b
    WHERE NOT filled AND leased_until < now()
        AND NOT EXISTS (SELECT FROM ingest.ai_batch_items i WHERE i.batch_id = b.id)
)
UPDATE ingest.ai_batches b SET filled = true
WHERE NOT filled AND leased_until < now()
    AND EXISTS (SELECT FROM ingest.ai_batch_items i WHERE i.batch_id = b.id)
