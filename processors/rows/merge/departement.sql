-- name: columns
SELECT code, nom FROM location_departement

-- name: merge
WITH found AS (
    SELECT s.key, s.observed_at, s.import_id, s.line, s.offset_, s.counted, s.repeated, s.resolving,
        coalesce((t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
            > (s.observed_at, s.import_id IS NOT NULL), false) AS stale,
        t.nom AS before,
        ingest.pick(s.policy, s.nom, t.nom, '') AS nom
    FROM staging s
    JOIN location_departement t ON t.code = s.key
    WHERE s.round = %(round)s
    ORDER BY t.code
    FOR NO KEY UPDATE OF t
), compared AS (
    SELECT *, CASE
        WHEN stale THEN 's'
        WHEN nom IS DISTINCT FROM before THEN 'u'
        ELSE '='
    END::"char" AS outcome
    FROM found
), updated AS (
    UPDATE location_departement t SET
        nom = j.nom,
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_observed_at = j.observed_at, ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM compared j
    WHERE t.code = j.key AND j.outcome <> 's'
), fresh AS MATERIALIZED (
    SELECT s.*
    FROM staging s
    WHERE s.round = %(round)s
        AND s.key NOT IN (SELECT key FROM found)
    ORDER BY s.key
), inserted AS (
    INSERT INTO location_departement (
        id, created_at, updated_at, code, nom, ingest_observed_at, ingest_import_id, ingest_line,
        ingest_partition, ingest_offset, ingest_outcome
    )
    SELECT id, now(), now(), code, nom, observed_at, import_id, line, %(partition)s, offset_, 'i'
    FROM fresh
)
SELECT import_id, outcome, sum(counted), sum(repeated), resolving
FROM (
    SELECT import_id, outcome, counted, repeated, resolving FROM compared
    UNION ALL
    SELECT import_id, 'i', counted, repeated, resolving FROM fresh
) outcomes
GROUP BY import_id, outcome, resolving
