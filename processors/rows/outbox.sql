-- name: unpublished
SELECT id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet, faults
FROM ingest.rejects
WHERE published_at IS NULL AND (topic, partition) IN (
    SELECT topic, partition
    FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS assigned (topic, partition)
)
ORDER BY topic, partition, "offset"
LIMIT 1000

-- name: resolved
-- Resolved rejects whose marker is not published. A reject is published before its marker.
SELECT id, import_id, settled_by
FROM ingest.rejects
WHERE settled_by IS NOT NULL AND NOT settled_told AND published_at IS NOT NULL
    AND (topic, partition) IN (
        SELECT topic, partition
        FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS assigned (topic, partition)
    )
LIMIT 1000

-- name: markers_published
UPDATE ingest.rejects SET settled_told = true WHERE id = ANY(%(ids)s)

-- name: published
UPDATE ingest.rejects SET published_at = now() WHERE id = ANY(%(ids)s)
