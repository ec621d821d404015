-- name: store
WITH removed AS (
    DELETE FROM ingest.compacted_records
    WHERE topic = %(topic)s AND key = ANY(%(removed)s::bytea[])
)
INSERT INTO ingest.compacted_records (topic, key, value)
SELECT %(topic)s, key, value::json
FROM unnest(%(keys)s::bytea[], %(values)s::text[]) AS record (key, value)
ORDER BY key
ON CONFLICT (topic, key) DO UPDATE SET value = EXCLUDED.value
