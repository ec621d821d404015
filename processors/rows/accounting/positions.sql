-- name: begin
INSERT INTO ingest.positions (topic, partition, cluster, topic_id, partitions, next_offset)
SELECT *
FROM unnest(
    %(topics)s::text[], %(numbers)s::integer[], %(clusters)s::text[], %(topic_ids)s::text[],
    %(partitions)s::integer[], %(beginnings)s::bigint[]
) AS begun (topic, partition, cluster, topic_id, partitions, beginning)
ORDER BY topic, partition
ON CONFLICT (topic, partition) DO NOTHING

-- name: begun
SELECT topic, partition, cluster, topic_id, partitions, next_offset,
    CASE WHEN (last_record ->> 'next_offset')::bigint = next_offset THEN last_record - 'next_offset' END
FROM ingest.positions
WHERE (topic, partition) IN (
    SELECT topic, partition
    FROM unnest(%(topics)s::text[], %(numbers)s::integer[]) AS begun (topic, partition)
)

-- name: read
SELECT next_offset
FROM ingest.positions
WHERE topic = %(topic)s AND partition = %(partition)s

-- name: all
SELECT topic, partition, next_offset, current_setting('transaction_read_only')::boolean
FROM ingest.positions
WHERE (topic, partition) IN (
    SELECT topic, partition
    FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS assigned (topic, partition)
)

-- name: advance
UPDATE ingest.positions
SET next_offset = %(end)s, halted = NULL, last_record = %(last_record)s
WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(start)s
RETURNING topic_id || coalesce('.' || log_number, '')

-- name: halt
UPDATE ingest.positions SET halted = %(reason)s WHERE topic = %(topic)s AND partition = %(partition)s

-- name: lost
-- Of a last record that was not known, it is known from now on that the log does not have it.
UPDATE ingest.positions
SET halted = %(reason)s,
    last_record = CASE WHEN (last_record ->> 'next_offset')::bigint = next_offset THEN last_record
        ELSE jsonb_build_object(
            'next_offset', next_offset, 'offset', next_offset - 1, 'leader_epoch', -1,
            'timestamp', -1, 'sha256', ''
        ) END
WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(position)s
