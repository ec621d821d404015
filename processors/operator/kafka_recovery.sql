-- name: identities
SELECT DISTINCT ON (topic) topic, cluster, topic_id
FROM ingest.positions
WHERE topic = ANY(%(topics)s)
ORDER BY topic, partition

-- name: mirrored
SELECT key, value::text FROM ingest.compacted_records WHERE topic = %(topic)s ORDER BY key

-- name: states
UPDATE ingest.imports SET published_version = 0, published_offset = -1, stray_offset = -1

-- name: tombstones
UPDATE ingest.forgotten SET published_offset = -1

-- name: rejects
-- Resolved ones are not in the reports.
UPDATE ingest.rejects SET published_at = NULL WHERE published_at IS NOT NULL AND settled_by IS NULL

-- name: requests
UPDATE ingest.enrichment SET sent_at = NULL WHERE state = 'noted' AND sent_at IS NOT NULL

-- name: answers
UPDATE ingest.ai_results SET sent_at = NULL WHERE state IN ('done', 'failed') AND sent_at IS NOT NULL

-- name: positions
DELETE FROM ingest.positions WHERE topic = ANY(%(topics)s)

-- name: read_again
-- Rows that were published and not written are lost. The file is read again: rows at or below the watermark
-- of their partition are counted already.
UPDATE ingest.imports i
SET total_rows = NULL, stopped_after = NULL
WHERE completed_at IS NULL AND total_rows > (
    SELECT coalesce(sum(inserted + updated + unchanged + duplicate + stale + rejected + parked + cancelled), 0)
    FROM ingest.progress p
    WHERE p.import_id = i.id
)

-- name: unfinished
SELECT id::text, file_name
FROM ingest.imports
WHERE completed_at IS NULL AND total_rows IS NULL AND cancelled_at IS NULL
ORDER BY created_at
