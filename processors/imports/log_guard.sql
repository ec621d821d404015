-- name: overtaken
UPDATE ingest.imports i
SET stray_offset = s.at
FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[], %(offsets)s::bigint[]) AS s (id, version, at)
WHERE i.id = s.id AND s.version < i.version AND s.at > greatest(i.published_offset, i.stray_offset)
RETURNING i.id

-- name: reappeared
-- A state of a removed import follows its tombstone: the tombstone is published again.
UPDATE ingest.forgotten f
SET published_at = NULL
FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[], %(offsets)s::bigint[]) AS s (id, version, at)
WHERE f.id = s.id AND s.version >= 0 AND f.published_at IS NOT NULL AND s.at > f.published_offset
    AND NOT EXISTS (SELECT FROM ingest.imports i WHERE i.id = f.id)
RETURNING f.id
