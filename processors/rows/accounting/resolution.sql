-- name: resolve
-- A row that replaces a reject of a retry also replaces the reject that this one replaces. A row in place of
-- one that lacked values completes it, without an outcome.
WITH RECURSIVE written AS (
    SELECT *
    FROM jsonb_to_recordset(%(rows)s) AS w (
        import_id uuid, line integer, sheet text, child uuid, outcome text
    )
), replaced AS (
    SELECT r.id, r.settles_import, r.settles_line, r.settles_sheet, w.child, w.outcome
    FROM written w
    JOIN ingest.rejects r
        ON r.import_id = w.import_id AND r.line = w.line AND r.sheet IS NOT DISTINCT FROM w.sheet
    UNION
    SELECT r.id, r.settles_import, r.settles_line, r.settles_sheet, s.child, s.outcome
    FROM replaced s
    JOIN ingest.rejects r
        ON r.import_id = s.settles_import AND r.line = s.settles_line
        AND r.sheet IS NOT DISTINCT FROM s.settles_sheet
), unresolved AS MATERIALIZED (
    SELECT id
    FROM ingest.rejects
    WHERE id IN (SELECT id FROM replaced) AND settled_by IS NULL
    ORDER BY id
    FOR UPDATE
), resolved AS (
    UPDATE ingest.rejects r
    SET settled_by = s.child, settled_at = now()
    FROM (
        SELECT DISTINCT ON (id) id, child, outcome
        FROM replaced
        JOIN unresolved USING (id)
        ORDER BY id, child, outcome
    ) s
    WHERE r.id = s.id
    RETURNING r.import_id, s.child, s.outcome, r.cancelled
), places AS (
    SELECT import_id, line, sheet, child FROM written
    UNION
    SELECT settles_import, settles_line, settles_sheet, child FROM replaced
), lacking AS MATERIALIZED (
    SELECT d.id, p.child
    FROM places p
    JOIN ingest.dropped_values d
        ON d.import_id = p.import_id AND d.line = p.line AND d.sheet IS NOT DISTINCT FROM p.sheet
    WHERE d.settled_by IS NULL
    ORDER BY d.id
    FOR UPDATE OF d
), completed AS (
    UPDATE ingest.dropped_values d
    SET settled_by = l.child, settled_at = now()
    FROM (SELECT DISTINCT ON (id) id, child FROM lacking ORDER BY id, child) l
    WHERE d.id = l.id AND d.settled_by IS NULL
    RETURNING d.import_id, l.child
), early AS (
    INSERT INTO ingest.settled_early (import_id, line, sheet, child, outcome)
    SELECT w.import_id, w.line, w.sheet, w.child, w.outcome
    FROM written w
    WHERE NOT EXISTS (
        SELECT FROM ingest.rejects r
        WHERE r.import_id = w.import_id AND r.line = w.line AND r.sheet IS NOT DISTINCT FROM w.sheet
    ) AND NOT EXISTS (
        SELECT FROM ingest.dropped_values d
        WHERE d.import_id = w.import_id AND d.line = w.line AND d.sheet IS NOT DISTINCT FROM w.sheet
    )
)
SELECT import_id::text, child::text, outcome, cancelled, count(*)::integer
FROM resolved
GROUP BY import_id, child, outcome, cancelled
UNION ALL
SELECT import_id::text, child::text, NULL, false, count(*)::integer
FROM completed
GROUP BY import_id, child

-- name: early
-- Rows whose rejects have come since. Another worker may run the same statement: each takes its own.
WITH matched AS (
    SELECT e.ctid, r.topic
    FROM ingest.settled_early e
    JOIN (
        SELECT topic, import_id, line, sheet FROM ingest.rejects
        UNION ALL
        SELECT topic, import_id, line, sheet FROM ingest.dropped_values
    ) r ON r.import_id = e.import_id AND r.line = e.line AND r.sheet IS NOT DISTINCT FROM e.sheet
    LIMIT 1000
    FOR UPDATE OF e SKIP LOCKED
)
DELETE FROM ingest.settled_early e
USING matched
WHERE e.ctid = matched.ctid
RETURNING matched.topic, e.import_id::text, e.line, e.sheet, e.child::text, e.outcome
