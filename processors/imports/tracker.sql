-- name: submitted
INSERT INTO ingest.imports (
    id, partition, import_type, file_name, file_sha256, uploaded_by, generate_ai_content,
    header, options, created_at, parent
)
VALUES (
    %(id)s, %(partition)s, %(import_type)s, %(file_name)s, %(file_sha256)s, %(uploaded_by)s,
    %(generate_ai_content)s, %(header)s, %(options)s, %(at)s, %(parent)s
)
ON CONFLICT (id) DO NOTHING

-- name: reading_finished
UPDATE ingest.imports
SET total_rows = greatest(total_rows, %(total_rows)s), warnings_by_code = %(warnings_by_code)s,
    skipped_rows = %(skipped_rows)s, left_out_rows = %(left_out_rows)s, left_out = %(left_out)s,
    other_sheets = %(other_sheets)s, encoding_hint = %(encoding_hint)s,
    error = NULL,
    -- A cancel stops two readers of one file at different lines: the later line counts.
    stopped_after = CASE WHEN total_rows >= %(total_rows)s THEN stopped_after
        ELSE %(stopped_after)s::integer END
WHERE id = %(id)s

-- name: reading_failed
UPDATE ingest.imports
SET error = %(error)s
WHERE id = %(id)s AND total_rows IS NULL

-- name: cancel
UPDATE ingest.imports
SET cancelled_at = now(), cancelled_by = %(by)s
WHERE id = %(id)s AND completed_at IS NULL AND cancelled_at IS NULL

-- name: pause
UPDATE ingest.imports
SET paused_at = now()
WHERE id = %(id)s AND completed_at IS NULL AND paused_at IS NULL

-- name: resume
UPDATE ingest.imports SET paused_at = NULL WHERE id = %(id)s

-- name: unfinished
SELECT id FROM ingest.imports WHERE completed_at IS NULL AND partition = ANY(%(partitions)s)

-- name: with_released_rows
-- Finished imports with parked rows, some of which have been released.
SELECT id
FROM ingest.imports i
WHERE parked > 0 AND completed_at IS NOT NULL AND partition = ANY(%(partitions)s) AND parked <> (
    SELECT coalesce(sum(p.parked), 0) FROM ingest.progress p WHERE p.import_id = i.id
)

-- name: settled
UPDATE ingest.imports SET settled_at = now() WHERE id = %(id)s

-- name: recently_changed
-- Imports that may be finished and change nevertheless: rows of a cancelled one still come, or a worker
-- that read an event of resolved rejects died before it updated the state.
SELECT id FROM ingest.imports
WHERE (cancelled_at > now() - interval '1 hour' OR settled_at > now() - interval '1 hour')
    AND partition = ANY(%(partitions)s)

-- name: facts
SELECT i.*, now() AS now, %(reader_gone)s::interval AS reader_gone,
    coalesce(p.inserted, 0) AS now_inserted, coalesce(p.updated, 0) AS now_updated,
    coalesce(p.unchanged, 0) AS now_unchanged, coalesce(p.duplicate, 0) AS now_duplicate,
    coalesce(p.stale, 0) AS now_stale, coalesce(p.rejected, 0) AS now_rejected,
    coalesce(p.parked, 0) AS now_parked, coalesce(p.cancelled, 0) AS now_cancelled,
    coalesce(p.released, 0) AS now_released, coalesce(p.settles, 0) AS now_settles,
    coalesce(p.dropped, 0) AS now_dropped,
    p.began, p.moved, p.watermarks,
    coalesce(a.requested, 0) AS now_ai_requested, coalesce(a.done, 0) AS now_ai_done,
    coalesce(a.failed, 0) AS now_ai_failed, coalesce(a.left_out, 0) AS now_ai_left,
    coalesce(a.started, false) AS now_ai_started,
    coalesce(
        (SELECT b.spent FROM ingest.ai_budgets b WHERE b.scope = 'import ' || i.id), 0
    )::float8 AS now_ai_cost,
    (
        -- The latest: the sum of all is above.
        SELECT coalesce(jsonb_agg(latest), '[]') FROM (
            SELECT kind, day, cost::float8 FROM ingest.ai_import_costs c
            WHERE c.import_id = i.id AND cost > 0
            ORDER BY day DESC, kind LIMIT 100
        ) latest
    ) AS now_ai_costs,
    EXISTS (SELECT FROM ingest.enrichment_scans WHERE import_id = i.id) AS ai_scanning,
    coalesce(p.rejected, 0) > 0 AND EXISTS (
        SELECT FROM ingest.rejects r
        WHERE r.import_id = i.id AND r.settled_by IS NULL
            AND r.faults -> 0 ->> 'code' = 'unknown-company'
    ) AS lacks_companies,
    (
        SELECT min(halted) FROM ingest.positions
        -- Those of files; the previous release had them in the topic of upstream systems.
        WHERE topic = %(topics)s::jsonb -> i.import_type ->> (NOT i.options ? 'topic')::integer
    ) AS halted
FROM ingest.imports i
LEFT JOIN LATERAL (
    SELECT sum(inserted)::integer AS inserted, sum(updated)::integer AS updated,
        sum(unchanged)::integer AS unchanged, sum(duplicate)::integer AS duplicate,
        sum(stale)::integer AS stale, sum(rejected)::integer AS rejected,
        sum(parked)::integer AS parked, sum(cancelled)::integer AS cancelled,
        sum(released)::integer AS released, sum(settles)::integer AS settles,
        sum(dropped)::integer AS dropped,
        jsonb_object_agg(partition, watermark) FILTER (WHERE watermark > 0) AS watermarks,
        min(started_at) AS began, max(updated_at) AS moved
    FROM ingest.progress WHERE import_id = i.id
) p ON true
LEFT JOIN LATERAL (
    SELECT count(*)::integer AS requested,
        count(*) FILTER (WHERE state = 'done')::integer AS done,
        count(*) FILTER (WHERE state = 'failed')::integer AS failed,
        count(*) FILTER (WHERE state = 'left')::integer AS left_out,
        bool_or(state NOT IN ('noted', 'pending')) AS started
    FROM ingest.enrichment WHERE import_id = i.id
) a ON i.generate_ai_content
WHERE i.id = ANY(%(ids)s)
ORDER BY i.id
FOR UPDATE OF i

-- name: changed
UPDATE ingest.imports
SET status = %(status)s, started_at = %(started_at)s, completed_at = %(completed_at)s,
    inserted = %(inserted)s, updated = %(updated)s, unchanged = %(unchanged)s,
    duplicate = %(duplicate)s, stale = %(stale)s, rejected = %(rejected)s,
    parked = %(parked)s, cancelled = %(cancelled)s, released = %(released)s,
    settles = %(settles)s, dropped_rows = %(dropped_rows)s, ai_requested = %(ai_requested)s, ai_done = %(ai_done)s,
    ai_failed = %(ai_failed)s, ai_left = %(ai_left)s, ai_started = %(ai_generation_started)s,
    ai_completed = %(ai_generation_completed)s,
    version = %(version)s, changed_at = now()
WHERE id = %(id)s

-- name: site
INSERT INTO core_importlog (
    id, import_type, status, file_name, generate_ai_content, ai_generation_started,
    ai_generation_completed, total_rows, success_rows, error_rows, errors, created_at,
    started_at, completed_at /* filled columns */
)
VALUES (
    %(id)s, %(import_type)s, %(site_status)s, left(%(file_name)s, 255), %(generate_ai_content)s,
    %(ai_generation_started)s, %(ai_generation_completed)s, %(site_total)s, %(success_rows)s,
    %(error_rows)s,
    (
        SELECT coalesce(jsonb_agg(jsonb_build_object('row', line, 'error', faults -> 0 ->> 'message')), '[]')
        FROM (
            SELECT line, faults FROM ingest.rejects WHERE import_id = %(id)s AND settled_by IS NULL ORDER BY line LIMIT 50
        ) firsts
    ),
    %(created_at)s, %(started_at)s, %(completed_at)s /* filled values */
)
ON CONFLICT (id) DO UPDATE SET
    status = EXCLUDED.status, generate_ai_content = EXCLUDED.generate_ai_content,
    ai_generation_started = EXCLUDED.ai_generation_started,
    ai_generation_completed = EXCLUDED.ai_generation_completed, total_rows = EXCLUDED.total_rows,
    success_rows = EXCLUDED.success_rows, error_rows = EXCLUDED.error_rows,
    started_at = EXCLUDED.started_at, completed_at = EXCLUDED.completed_at,
    errors = EXCLUDED.errors

-- name: unpublished
-- All of them after Kafka was lost: as many as one transaction reads.
SELECT id FROM ingest.imports
WHERE (published_version < version OR stray_offset > published_offset)
    AND partition = ANY(%(partitions)s)
LIMIT 500

-- name: published
WITH before AS (SELECT id, published_version FROM ingest.imports WHERE id = %(id)s FOR UPDATE)
UPDATE ingest.imports i
-- Overtaken: what was just published hides a later state, which so counts as unpublished again.
SET published_version = %(version)s, published_offset = %(offset)s
FROM before
WHERE i.id = before.id
RETURNING before.published_version

-- name: unconfirmed
-- It is on the topic or not, before a later state or after it: the last state has to be sent again.
UPDATE ingest.imports
SET published_version = least(published_version, %(version)s - 1)
WHERE id = %(id)s

-- name: imported_again
-- Removed, and imported again before its tombstone was published.
DELETE FROM ingest.forgotten f USING ingest.imports i WHERE f.id = i.id AND f.published_at IS NULL

-- name: forgotten
SELECT id FROM ingest.forgotten
WHERE published_at IS NULL AND partition = ANY(%(partitions)s)
ORDER BY forgotten_at
LIMIT 1000

-- name: tombstones_published
UPDATE ingest.forgotten f
SET published_at = now(), published_offset = greatest(f.published_offset, t.at)
FROM unnest(%(ids)s::uuid[], %(offsets)s::bigint[]) AS t (id, at)
WHERE f.id = t.id
