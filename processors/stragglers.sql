-- name: strayed
UPDATE ingest.imports i
SET stray_offset = s.at
FROM unnest(%(ids)s::uuid[], %(versions)s::bigint[], %(offsets)s::bigint[]) AS s (id, version, at)
WHERE i.id = s.id AND s.version < i.version AND s.at > greatest(i.published_offset, i.stray_offset)
RETURNING i.id
