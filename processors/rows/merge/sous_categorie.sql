-- name: columns
SELECT t.nom, c.nom AS categorie, t.description, t.meta_description, t.mots_cles, t.ordre,
    t.categorie_id AS parent_id
FROM subcategory_souscategorie t JOIN category_categorie c ON c.id = t.categorie_id

-- name: merge
-- parent_id is the id of the category if it is known; else it is looked up as in categorie.sql. A row
-- without a category waits, and so does each that comes while others of its category still wait:
-- they go first. A row belongs to the sub-category with its key; else, if the site created it, to
-- the one with its slug or its name. If two rows match the same sub-category, or need the same new
-- slug, the earlier gets it and the other goes to the next pass.
WITH given AS MATERIALIZED (
    SELECT s.*, split_part(s.key, '/', 2) AS own_key,
        coalesce(s.parent_id, c.id) AS categorie_id,
        coalesce(s.parent_id, c.id) IS NULL OR NOT %(released)s AND EXISTS (
            SELECT FROM ingest.parked p
            WHERE p.topic = %(topic)s AND p.partition = %(partition)s
                AND p.parent_key = split_part(s.key, '/', 1)
        ) AS waits
    FROM staging s
    LEFT JOIN LATERAL (
        SELECT id
        FROM category_categorie
        WHERE s.parent_id IS NULL AND (
            ingest_key = split_part(s.key, '/', 1) OR slug = split_part(s.key, '/', 1)
            OR nom = s.categorie
        )
        ORDER BY ingest_key = split_part(s.key, '/', 1) DESC NULLS LAST,
            slug = split_part(s.key, '/', 1) DESC
        LIMIT 1
    ) c ON true
    WHERE s.round = %(round)s
        AND (%(offsets)s::bigint[] IS NULL OR s.offset_ = ANY (%(offsets)s::bigint[]))
), placed AS MATERIALIZED (
    SELECT g.*, t.id AS found_id
    FROM given g
    LEFT JOIN LATERAL (
        SELECT id
        FROM subcategory_souscategorie o
        WHERE o.categorie_id = g.categorie_id AND (
            o.ingest_key = g.own_key OR o.nom = g.nom OR o.ingest_key IS NULL AND o.slug = g.own_key
        )
        ORDER BY o.ingest_key = g.own_key DESC NULLS LAST, o.slug = g.own_key DESC
        LIMIT 1
    ) t ON true
    WHERE NOT g.waits
), chosen AS MATERIALIZED (
    SELECT DISTINCT ON (found_id) *
    FROM placed
    WHERE found_id IS NOT NULL
    ORDER BY found_id, offset_
), found AS (
    SELECT s.key, s.own_key, t.id, s.observed_at, s.import_id, s.line, s.offset_,
        coalesce((t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
            > (s.observed_at, s.import_id IS NOT NULL), false) AS stale,
        ROW(t.nom, t.description, t.meta_description, t.mots_cles, t.ordre) AS before,
        -- Another spelling is the same name.
        CASE s.policy WHEN 'overwrite' THEN s.nom ELSE t.nom END AS nom,
        ingest.pick(s.policy, s.description, t.description, '') AS description,
        ingest.pick(s.policy, s.meta_description, t.meta_description, '') AS meta_description,
        ingest.pick(s.policy, s.mots_cles, t.mots_cles, '') AS mots_cles,
        ingest.pick(s.policy, s.ordre, t.ordre, 0) AS ordre
    FROM chosen s
    JOIN subcategory_souscategorie t ON t.id = s.found_id
    ORDER BY t.id
    FOR NO KEY UPDATE OF t
), compared AS (
    SELECT *, CASE
        WHEN stale THEN 's'
        WHEN ROW(nom, description, meta_description, mots_cles, ordre) IS DISTINCT FROM before THEN 'u'
        ELSE '='
    END::"char" AS outcome
    FROM found
), updated AS (
    UPDATE subcategory_souscategorie t SET
        nom = j.nom, description = j.description, meta_description = j.meta_description,
        mots_cles = j.mots_cles, ordre = j.ordre,
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_key = coalesce(t.ingest_key, j.own_key),
        ingest_observed_at = j.observed_at, ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM compared j
    WHERE t.id = j.id AND j.outcome <> 's'
), fresh AS MATERIALIZED (
    SELECT DISTINCT ON (categorie_id, own_key) *
    FROM placed
    WHERE found_id IS NULL
    ORDER BY categorie_id, own_key, offset_
), addressed AS MATERIALIZED (
    SELECT f.*, CASE
        WHEN NOT EXISTS (SELECT FROM subcategory_souscategorie o WHERE o.slug = f.own_key)
            THEN f.own_key
        -- A category that is gone has no slug: the foreign key then reports it.
        ELSE coalesce((
            WITH RECURSIVE tried (number, suffix, slug) AS (
                SELECT 1, '-' || left(c.slug, 100),
                    rtrim(left(f.own_key, 119 - length(left(c.slug, 100))), '-')
                        || '-' || left(c.slug, 100)
                FROM category_categorie c
                WHERE c.id = f.categorie_id
                UNION ALL
                SELECT number + 1, suffix,
                    rtrim(left(f.own_key, 119 - length(suffix) - length((number + 1)::text)), '-')
                        || suffix || '-' || number + 1
                FROM tried t
                WHERE EXISTS (SELECT FROM subcategory_souscategorie o WHERE o.slug = t.slug)
            )
            SELECT slug FROM tried ORDER BY number DESC LIMIT 1
        ), f.id::text)
    END AS slug
    FROM fresh f
), inserted AS (
    INSERT INTO subcategory_souscategorie (
        id, created_at, updated_at, categorie_id, nom, slug, description, meta_description,
        mots_cles, ordre, ingest_key, ingest_observed_at, ingest_import_id, ingest_line,
        ingest_partition, ingest_offset, ingest_outcome /* filled columns */
    )
    SELECT
        -- The site may have given the one that had this id to another category.
        CASE
            WHEN EXISTS (SELECT FROM subcategory_souscategorie o WHERE o.id = a.id)
                THEN gen_random_uuid()
            ELSE a.id
        END,
        now(), now(), categorie_id, nom, slug, coalesce(description, ''),
        coalesce(meta_description, ''), coalesce(mots_cles, ''), coalesce(ordre, 0), own_key,
        observed_at, import_id, line, %(partition)s, offset_, 'i' /* filled values */
    FROM addressed a
    ORDER BY slug, offset_
    ON CONFLICT (slug) DO NOTHING
    RETURNING ingest_offset AS offset_
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
        SELECT offset_, NULL, 0, 0, NULL, 'i' FROM inserted
        UNION ALL
        SELECT offset_, NULL, 0, 0, NULL, 'p' FROM given WHERE waits
    ) parts
    GROUP BY offset_
) outcomes
GROUP BY import_id, outcome, resolving

-- name: releasable
-- Categories for which rows wait although they exist, or although the rows' import was cancelled.
SELECT p.partition, p.parent_key
FROM ingest.parked p
WHERE p.topic = ANY (%(topics)s) AND p.partition = ANY (%(partitions)s) AND (
    EXISTS (
        SELECT FROM category_categorie c
        WHERE c.ingest_key = p.parent_key OR c.slug = p.parent_key OR c.nom = p.parent_name
    )
    OR EXISTS (
        SELECT FROM ingest.imports i WHERE i.id = p.import_id AND i.cancelled_at IS NOT NULL
    )
)
GROUP BY p.partition, p.parent_key
ORDER BY p.partition, min(p.parked_at)
