-- name: loaded
SELECT EXISTS (SELECT FROM ingest.naf)

-- name: differing
-- Of the next companies of the register: the last SIREN, and those whose code on the site is another.
WITH examined AS MATERIALIZED (
    SELECT siren, ingest.site_naf(%(primary)s, naf_rev2, naf_2025) AS code
    FROM ingest.sirene
    WHERE siren > %(after)s
    ORDER BY siren
    LIMIT %(limit)s
)
SELECT max(x.siren), coalesce(array_agg(e.siren ORDER BY x.siren) FILTER (WHERE e.naf_code <> x.code), '{}')
FROM examined x
-- Else the index of the site, which has its own collation, would not be used.
LEFT JOIN enterprise_entreprise e ON e.siren = x.siren COLLATE "default"

-- name: lock
-- In the order in which rows are merged. It waits for a company that is being changed; the next
-- statement reads its current values.
SELECT FROM enterprise_entreprise WHERE siren = ANY(%(sirens)s) ORDER BY siren FOR NO KEY UPDATE

-- name: rewrite
UPDATE enterprise_entreprise e
SET naf_code = x.code, naf_libelle = coalesce(n.libelle, ''), updated_at = now()
FROM (
    SELECT siren, ingest.site_naf(%(primary)s, naf_rev2, naf_2025) AS code
    FROM ingest.sirene
    WHERE siren = ANY(%(sirens)s)
) x
LEFT JOIN ingest.naf n ON n.code = x.code
WHERE e.siren = x.siren COLLATE "default" AND e.naf_code <> x.code
