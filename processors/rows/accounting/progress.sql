-- name: watermarks
-- Of an import whose producer was upgraded while it ran, rows may be in both topics of its type, whose
-- names end alike, each with the same number in the partition of the same number: what came from one
-- is a replay in the other.
SELECT wanted.id, coalesce((
        SELECT max(p.watermark) FROM ingest.progress p
        WHERE p.import_id = wanted.id AND p.partition = %(partition)s
            AND substring(p.topic from '[^.]+$') = substring(%(topic)s from '[^.]+$')
    ), 0), i.cancelled_at IS NOT NULL, coalesce(i.generate_ai_content, true)
FROM unnest(%(imports)s::uuid[]) AS wanted (id)
LEFT JOIN ingest.imports i ON i.id = wanted.id

-- name: add
INSERT INTO ingest.progress AS stored (
    import_id, topic, partition, revision, watermark,
    inserted, updated, unchanged, duplicate, stale, rejected, parked, cancelled, released,
    settles, dropped
)
SELECT import_id, %(topic)s, %(partition)s, 1, watermark,
    inserted, updated, unchanged, duplicate, stale, rejected, parked, cancelled, released,
    settles, dropped
FROM jsonb_to_recordset(%(changes)s) AS change (
    import_id uuid, watermark integer, inserted integer, updated integer, unchanged integer,
    duplicate integer, stale integer, rejected integer, parked integer, cancelled integer,
    released integer, settles integer, dropped integer
)
ORDER BY import_id
ON CONFLICT (import_id, topic, partition) DO UPDATE SET
    revision = stored.revision + 1,
    watermark = greatest(stored.watermark, EXCLUDED.watermark),
    inserted = stored.inserted + EXCLUDED.inserted,
    updated = stored.updated + EXCLUDED.updated,
    unchanged = stored.unchanged + EXCLUDED.unchanged,
    duplicate = stored.duplicate + EXCLUDED.duplicate,
    stale = stored.stale + EXCLUDED.stale,
    rejected = stored.rejected + EXCLUDED.rejected,
    parked = stored.parked + EXCLUDED.parked,
    cancelled = stored.cancelled + EXCLUDED.cancelled,
    released = stored.released + EXCLUDED.released,
    settles = stored.settles + EXCLUDED.settles,
    dropped = stored.dropped + EXCLUDED.dropped,
    updated_at = now()
RETURNING import_id::text, revision, watermark,
    inserted + updated + unchanged + duplicate + stale + rejected + parked + cancelled

-- name: parked
SELECT import_id::text, sum(parked) FROM ingest.progress
WHERE import_id = ANY(%(imports)s::uuid[]) GROUP BY import_id
