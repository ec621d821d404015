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
SELECT topic, partition, cluster, topic_id, partitions, next_offset
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
SET next_offset = %(end)s, halted = NULL
WHERE topic = %(topic)s AND partition = %(partition)s AND next_offset = %(start)s
RETURNING topic_id

-- name: halt
UPDATE ingest.positions SET halted = %(reason)s WHERE topic = %(topic)s AND partition = %(partition)s
