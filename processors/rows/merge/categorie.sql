-- name: columns
SELECT nom, description, meta_description, ordre FROM category_categorie

-- name: merge
-- A row belongs to the category with its key; else, if the site created it, to the one with its slug
-- or its name. Two keys may so match one category: the earlier row gets it, the other goes to the next
-- pass.
WITH given AS MATERIALIZED (
    SELECT s.*, t.id AS found_id
    FROM staging s
    LEFT JOIN LATERAL (
        SELECT id
        FROM category_categorie c
        WHERE c.ingest_key = s.key OR c.slug = s.key OR c.nom = s.nom
        ORDER BY c.ingest_key = s.key DESC NULLS LAST, c.slug = s.key DESC
        LIMIT 1
    ) t ON true
    WHERE s.round = %(round)s
        AND (%(offsets)s::bigint[] IS NULL OR s.offset_ = ANY (%(offsets)s::bigint[]))
), chosen AS MATERIALIZED (
    SELECT DISTINCT ON (found_id) *
    FROM given
    WHERE found_id IS NOT NULL
    ORDER BY found_id, offset_
), found AS (
    SELECT s.key, t.id, s.observed_at, s.import_id, s.line, s.offset_, s.counted, s.repeated,
        coalesce((t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
            > (s.observed_at, s.import_id IS NOT NULL), false) AS stale,
        ROW(t.nom, t.description, t.meta_description, t.ordre) AS before,
        -- Another spelling is the same name.
        CASE s.policy WHEN 'overwrite' THEN s.nom ELSE t.nom END AS nom,
        ingest.pick(s.policy, s.description, t.description, '') AS description,
        ingest.pick(s.policy, s.meta_description, t.meta_description, '') AS meta_description,
        ingest.pick(s.policy, s.ordre, t.ordre, 0) AS ordre
    FROM chosen s
    JOIN category_categorie t ON t.id = s.found_id
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
), compared AS (
    SELECT *, CASE
        WHEN stale THEN 's'
        WHEN ROW(nom, description, meta_description, ordre) IS DISTINCT FROM before THEN 'u'
        ELSE '='
    END::"char" AS outcome
    FROM found
), updated AS (
    UPDATE category_categorie t SET
        nom = j.nom, description = j.description, meta_description = j.meta_description,
        ordre = j.ordre,
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_key = coalesce(t.ingest_key, j.key),
        ingest_observed_at = j.observed_at, ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM compared j
    WHERE t.id = j.id AND j.outcome <> 's'
), fresh AS MATERIALIZED (
    SELECT * FROM given WHERE found_id IS NULL ORDER BY key
), inserted AS (
    INSERT INTO category_categorie (
        id, created_at, updated_at, nom, slug, description, meta_description, ordre, ingest_key,
        ingest_observed_at, ingest_import_id, ingest_line, ingest_partition, ingest_offset,
        ingest_outcome /* filled columns */
    )
    SELECT id, now(), now(), nom, key, coalesce(description, ''), coalesce(meta_description, ''),
        coalesce(ordre, 0), key, observed_at, import_id, line, %(partition)s, offset_, 'i' /* filled values */
    FROM fresh
)
-- Rows without an outcome go to the next pass. By groups, as joins of such lists would be quadratic here.
SELECT import_id, outcome, sum(counted)::integer, sum(repeated)::integer, resolving,
    CASE WHEN outcome IN ('~', 'p') THEN array_agg(offset_) END
FROM (
    SELECT offset_, max(import_id) AS import_id, sum(counted) AS counted,
        sum(repeated) AS repeated, max(resolving) AS resolving, coalesce(max(outcome), '~') AS outcome
    FROM (
        SELECT offset_, import_id::text, counted, repeated, resolving, NULL AS outcome FROM given
        UNION ALL
        SELECT offset_, NULL, 0, 0, NULL, outcome::text FROM compared
        UNION ALL
        SELECT offset_, NULL, 0, 0, NULL, 'i' FROM fresh
    ) parts
    GROUP BY offset_
) outcomes
GROUP BY import_id, outcome, resolving

-- name: known
-- The categories of these keys.
SELECT k.key, c.id::text, c.slug, c.nom
FROM unnest(%(keys)s::text[]) AS k (key)
JOIN LATERAL (
    SELECT id, slug, nom
    FROM category_categorie
    WHERE ingest_key = k.key OR slug = k.key
    ORDER BY ingest_key = k.key DESC NULLS LAST
    LIMIT 1
) c ON true

-- name: all
-- Every category by the keys that find it; one that has its key from a row goes before one of the
-- site that has it for its slug.
SELECT DISTINCT ON (key) key, id::text, slug, nom
FROM (
    SELECT ingest_key AS key, 0 AS rank, id, slug, nom
    FROM category_categorie
    WHERE ingest_key IS NOT NULL
    UNION ALL
    SELECT slug, 1, id, slug, nom FROM category_categorie
) keys
ORDER BY key, rank
