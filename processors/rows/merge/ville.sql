-- name: columns
SELECT nom, code_postal_principal, codes_postaux, departement, region, lat, lng, population,
    departement AS own_departement, region AS own_region, NULL::text COLLATE "C" AS code_insee
FROM location_ville

-- name: merge
WITH found AS (
    SELECT s.key, s.observed_at, s.import_id, s.line, s.offset_, s.counted, s.repeated, s.resolving,
        coalesce((t.ingest_observed_at, t.ingest_import_id IS NOT NULL)
            > (s.observed_at, s.import_id IS NOT NULL), false) AS stale,
        ROW(t.nom, t.codes_postaux, t.departement, t.region, t.lat, t.lng, t.population, m.code)
            AS before,
        m.code AS stored_insee, ingest.pick(s.policy, s.code_insee, m.code, NULL) AS code_insee,
        ingest.pick(s.policy, s.nom, t.nom, '') AS nom,
        ingest.pick(
            s.policy,
            -- A city has its main code at the least, so overwriting by nothing falls back to it.
            CASE s.policy
                WHEN 'overwrite' THEN
                    coalesce(s.codes_postaux, jsonb_build_array(t.code_postal_principal))
                ELSE s.codes_postaux
            END,
            t.codes_postaux, '[]'
        ) AS codes_postaux,
        ingest.pick(s.policy, s.departement, t.departement, s.own_departement) AS departement,
        ingest.pick(s.policy, s.region, t.region, s.own_region) AS region,
        ingest.pick(s.policy, s.lat, t.lat, '0') AS lat,
        ingest.pick(s.policy, s.lng, t.lng, '0') AS lng,
        ingest.pick(s.policy, s.population, t.population, 0) AS population
    FROM staging s
    JOIN location_ville t ON t.slug = s.key
    LEFT JOIN ingest.communes m ON m.slug = s.key
    WHERE s.round = %(round)s
    ORDER BY t.slug
    FOR NO KEY UPDATE OF t
), compared AS (
    SELECT *, CASE
        WHEN stale THEN 's'
        WHEN ROW(nom, codes_postaux, departement, region, lat, lng, population, code_insee)
            IS DISTINCT FROM before THEN 'u'
        ELSE '='
    END::"char" AS outcome
    FROM found
), updated AS (
    UPDATE location_ville t SET
        nom = j.nom, codes_postaux = j.codes_postaux, departement = j.departement,
        region = j.region, lat = j.lat, lng = j.lng, population = j.population,
        updated_at = CASE j.outcome WHEN 'u' THEN now() ELSE t.updated_at END,
        ingest_observed_at = j.observed_at, ingest_import_id = j.import_id, ingest_line = j.line,
        ingest_partition = %(partition)s, ingest_offset = j.offset_, ingest_outcome = j.outcome
    FROM compared j
    WHERE t.slug = j.key AND j.outcome <> 's'
), fresh AS MATERIALIZED (
    SELECT s.*
    FROM staging s
    WHERE s.round = %(round)s
        AND s.key NOT IN (SELECT key FROM found)
    ORDER BY s.key
), inserted AS (
    INSERT INTO location_ville (
        id, created_at, updated_at, slug, nom, code_postal_principal, codes_postaux, departement,
        region, lat, lng, population, ingest_observed_at, ingest_import_id, ingest_line,
        ingest_partition, ingest_offset, ingest_outcome /* filled columns */
    )
    SELECT id, now(), now(), key, nom, code_postal_principal,
        coalesce(codes_postaux, jsonb_build_array(code_postal_principal)),
        coalesce(departement, own_departement), coalesce(region, own_region),
        coalesce(lat, 0), coalesce(lng, 0), coalesce(population, 0),
        observed_at, import_id, line, %(partition)s, offset_, 'i' /* filled values */
    FROM fresh
), communes AS (
    -- In a table of ours: the site has no column for it.
    INSERT INTO ingest.communes (slug, code)
    SELECT key, code_insee FROM compared
    WHERE outcome <> 's' AND code_insee IS DISTINCT FROM stored_insee
    UNION ALL
    SELECT key, code_insee FROM fresh WHERE code_insee IS NOT NULL
    ORDER BY key
    ON CONFLICT (slug) DO UPDATE SET code = EXCLUDED.code
)
SELECT import_id, outcome, sum(counted), sum(repeated), resolving
FROM (
    SELECT import_id, outcome, counted, repeated, resolving FROM compared
    UNION ALL
    SELECT import_id, 'i', counted, repeated, resolving FROM fresh
) outcomes
GROUP BY import_id, outcome, resolving
