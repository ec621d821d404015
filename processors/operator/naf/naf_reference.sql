-- name: alone
-- Of two that load or decide at once, the one that comes later waits, and what it says holds. Readers
-- go on.
LOCK TABLE ingest.naf IN SHARE ROW EXCLUSIVE MODE

-- name: stored
SELECT code, sous_categorie FROM ingest.naf

-- name: decided
SELECT code, sous_categorie FROM ingest.naf_decisions

-- name: store
INSERT INTO ingest.naf (code, libelle, sous_categorie)
SELECT * FROM unnest(%(codes)s::text[], %(labels)s::text[], %(slugs)s::text[])
ON CONFLICT (code) DO UPDATE
SET libelle = EXCLUDED.libelle, sous_categorie = EXCLUDED.sous_categorie

-- name: remove
DELETE FROM ingest.naf WHERE code <> ALL(%(codes)s)

-- name: forget_pairs
DELETE FROM ingest.naf_correspondence

-- name: store_pairs
INSERT INTO ingest.naf_correspondence (code_rev2, code_2025, certain)
SELECT * FROM unnest(%(rev2)s::text[], %(naf2025)s::text[], %(certain)s::boolean[])

-- name: arrived
-- Activities that are something else on the site now, or nothing.
INSERT INTO ingest.pages_due (reason, key) SELECT 'naf', unnest(%(codes)s::text[])

-- name: known
SELECT code, libelle, sous_categorie FROM ingest.naf

-- name: sub_categories
SELECT slug FROM subcategory_souscategorie

-- name: decide
INSERT INTO ingest.naf_decisions (code, sous_categorie)
SELECT * FROM unnest(%(codes)s::text[], %(slugs)s::text[])
ON CONFLICT (code) DO UPDATE
SET sous_categorie = EXCLUDED.sous_categorie, decided_at = now()

-- name: codes_2025
SELECT count(*) FROM ingest.naf WHERE right(code, 1) IN ('Y', 'G', 'H', 'J', 'K', 'L')

-- name: candidates
-- The codes of NAF 2025 without a trade, each with the trades of the codes of rev. 2 that correspond to
-- it, or with none.
WITH old AS MATERIALIZED (
    SELECT array_agg(DISTINCT p.code_rev2) AS codes
    FROM ingest.naf_correspondence p JOIN ingest.naf n ON n.code = p.code_2025
    WHERE n.sous_categorie = ''
), companies AS MATERIALIZED (
    SELECT naf_code, count(*) AS number
    FROM (
        SELECT naf_code FROM enterprise_entreprise WHERE naf_code = ANY ((SELECT codes FROM old)::text[])
        UNION ALL
        -- Where the site has codes of NAF 2025, those of rev. 2 are kept beside them.
        SELECT x.naf_rev2
        FROM ingest.sirene x JOIN enterprise_entreprise e ON e.siren = x.siren
        WHERE x.naf_rev2 = ANY ((SELECT codes FROM old)::text[]) AND e.naf_code <> x.naf_rev2
    ) given
    GROUP BY naf_code
)
SELECT n.code, n.libelle, coalesce(o.sous_categorie, ''),
    coalesce(string_agg(o.code, ' / ' ORDER BY o.code), ''),
    coalesce(string_agg(o.libelle, ' / ' ORDER BY o.code), ''),
    coalesce(sum(c.number), 0)::bigint AS number
FROM ingest.naf n
LEFT JOIN (
    ingest.naf_correspondence p
    JOIN ingest.naf o ON o.code = p.code_rev2
    LEFT JOIN companies c ON c.naf_code = o.code
) ON p.code_2025 = n.code
WHERE n.sous_categorie = ''
GROUP BY n.code, n.libelle, o.sous_categorie
ORDER BY n.code, number DESC, o.sous_categorie
