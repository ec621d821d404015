-- name: unpublished
SELECT id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet, faults
FROM ingest.rejects
WHERE published_at IS NULL AND (topic, partition) IN (
    SELECT topic, partition
    FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS assigned (topic, partition)
)
ORDER BY topic, partition, "offset"
LIMIT 1000

-- name: published
UPDATE ingest.rejects SET published_at = now() WHERE id = ANY(%(ids)s)
