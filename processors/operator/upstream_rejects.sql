-- name: listed
-- The value only of one that is asked for: there may be thousands of a mebibyte.
SELECT id, topic, partition, "offset", appended_at, key,
    CASE WHEN %(id)s::uuid IS NOT NULL THEN value END AS value, headers, import_id, line, sheet,
    faults, rejected_at, replayed_at, discarded_at, discarded_by, discarded_why
FROM ingest.rejects
WHERE (%(id)s::uuid IS NULL OR id = %(id)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(code)s::text IS NULL OR faults @> jsonb_build_array(jsonb_build_object('code', %(code)s::text)))
    AND (%(since)s::timestamptz IS NULL OR rejected_at >= %(since)s)
    AND CASE WHEN %(import)s::uuid IS NULL THEN NOT %(open)s
            OR (import_id IS NULL AND replayed_at IS NULL AND discarded_at IS NULL)
        ELSE import_id = %(import)s END
ORDER BY rejected_at DESC, topic, partition, "offset" DESC
LIMIT %(limit)s

-- name: chosen
-- As locked, without values and locks.
SELECT id, topic, partition, "offset", appended_at, key, NULL::bytea AS value, headers, import_id,
    line, sheet, faults, rejected_at, replayed_at, discarded_at, discarded_by, discarded_why
FROM ingest.rejects
WHERE id = ANY(%(ids)s)
ORDER BY topic, partition, "offset"

-- name: locked
-- In the order of their offsets: so they are sent again.
SELECT id, topic, partition, "offset", appended_at, key, value, headers, import_id, line, sheet,
    faults, rejected_at, replayed_at, discarded_at, discarded_by, discarded_why
FROM ingest.rejects
WHERE id = ANY(%(ids)s)
ORDER BY topic, partition, "offset"
FOR UPDATE

-- name: replayed
UPDATE ingest.rejects SET replayed_at = now() WHERE id = ANY(%(ids)s)

-- name: discarded
UPDATE ingest.rejects
SET discarded_at = now(), discarded_by = %(by)s, discarded_why = %(why)s
WHERE id = ANY(%(ids)s)
