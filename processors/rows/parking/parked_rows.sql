-- name: lock_family
SELECT pg_advisory_xact_lock(%(lock)s, %(partition)s)

-- name: park
INSERT INTO ingest.parked (
    topic_id, topic, partition, "offset", appended_at, key, value, headers, import_id, number, line,
    sheet, parent_key, parent_name
)
SELECT %(topic_id)s, %(topic)s, %(partition)s, *
FROM unnest(
    %(offsets)s::bigint[], %(appended)s::timestamptz[], %(keys)s::bytea[], %(values)s::bytea[],
    %(headers)s::json[], %(imports)s::uuid[], %(row_numbers)s::integer[], %(lines)s::integer[],
    %(sheets)s::text[], %(parent_keys)s::text[], %(parent_names)s::text[]
)
ON CONFLICT DO NOTHING

-- name: waiting
-- Most batches release nothing: this costs less than their keys.
SELECT EXISTS (
    SELECT FROM ingest.parked WHERE topic = ANY (%(topics)s) AND partition = %(partition)s
)

-- name: take
DELETE FROM ingest.parked
WHERE (topic_id, partition, "offset") IN (
    SELECT topic_id, partition, "offset"
    FROM ingest.parked
    WHERE topic = ANY (%(topics)s) AND partition = %(partition)s AND parent_key = ANY (%(keys)s)
        AND topic_id = ( -- one topic at a time: offsets of another one say nothing about the order
            SELECT topic_id
            FROM ingest.parked
            WHERE topic = ANY (%(topics)s) AND partition = %(partition)s
                AND parent_key = ANY (%(keys)s)
            ORDER BY appended_at, "offset"
            LIMIT 1
        )
    ORDER BY "offset"
    LIMIT %(most)s
)
RETURNING topic_id, topic, "offset", appended_at, key, value, headers,
    import_id::text AS import_id, number AS row_number, line, sheet, parent_key

-- name: remaining
-- Rows of the same parents from another topic.
SELECT EXISTS (
    SELECT FROM ingest.parked
    WHERE topic = ANY (%(topics)s) AND partition = %(partition)s AND parent_key = ANY (%(keys)s)
        AND topic_id <> %(topic_id)s
)

-- name: listed
SELECT import_id::text AS import_id, sheet, line, parent_name AS parent, topic, partition, "offset", parked_at
FROM ingest.parked
WHERE %(import_id)s::uuid IS NULL OR import_id = %(import_id)s
ORDER BY import_id, number, topic, partition, "offset"
LIMIT %(limit)s
