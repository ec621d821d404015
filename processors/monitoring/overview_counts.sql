-- name: size
SELECT pg_relation_size(%(table)s::regclass)

-- From a sample of blocks, always the same ones: a count changes only if the table does, and the
-- blocks stay in memory. 100 is all blocks.

-- name: entreprises
SELECT count(*) FROM enterprise_entreprise TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)

-- name: villes
SELECT count(*) FROM location_ville TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)

-- name: categories
SELECT count(*) FROM category_categorie TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)

-- name: sous_categories
SELECT count(*) FROM subcategory_souscategorie TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)

-- name: pages
SELECT count(*) FILTER (WHERE is_active)
FROM enterprise_prolocalisation TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)

-- name: rejects
-- Those that are not resolved, sent again or discarded.
SELECT faults -> 0 ->> 'code', count(*)
FROM ingest.rejects TABLESAMPLE SYSTEM (%(percent)s) REPEATABLE (0)
WHERE settled_by IS NULL AND replayed_at IS NULL AND discarded_at IS NULL AND NOT cancelled
GROUP BY 1

-- name: top_categories
SELECT c.nom, count(*)
FROM subcategory_souscategorie s
JOIN category_categorie c ON c.id = s.categorie_id
GROUP BY c.id
ORDER BY 2 DESC, 1
LIMIT 10

-- name: positions
SELECT topic, partition, next_offset FROM ingest.positions WHERE topic = ANY(%(topics)s)

-- name: requests
-- By the partial indexes of the table alone.
SELECT
    (SELECT count(*) FROM ingest.enrichment WHERE state = 'noted' AND sent_at IS NULL)
        + (SELECT count(*) FROM ingest.enrichment WHERE state = 'pending') AS waiting,
    -- Those of imports and of people, which the night's give way to.
    (SELECT count(*) FROM ingest.enrichment WHERE state = 'pending' AND priority <= 1) AS urgent,
    (SELECT count(*) FROM ingest.enrichment WHERE state = 'running') AS running

-- name: spent
SELECT split_part(scope, ' ', 1), spent::float8 FROM ingest.ai_budgets
WHERE scope IN ('day ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
    'month ' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'))

-- name: notice
-- In French, for users.
SELECT string_agg(
    CASE WHEN listed THEN model || ' s''arrête le ' || to_char(ends_on, 'DD/MM/YYYY')
    WHEN ends_on IS NULL THEN 'le fournisseur ne connaît pas le modèle ' || model
    ELSE model || ' s''arrête le ' || to_char(ends_on, 'DD/MM/YYYY') END,
    ', ' ORDER BY model
)
FROM ingest.ai_models
WHERE NOT listed OR ends_on IS NOT NULL

-- name: limits
-- Budgets that operators set by hand.
SELECT kind || '_limit', amount::float8 FROM ingest.ai_limits WHERE kind IN ('day', 'month')

-- name: trouble
SELECT string_agg(what, ', ' ORDER BY what)
FROM (
    SELECT concat(
        'l''exploitation a suspendu leur rédaction le ',
        to_char(paused_at AT TIME ZONE 'Europe/Paris', 'DD/MM/YYYY à HH24:MI'),
        ' (' || nullif(concat_ws(' : ', paused_by, reason), '') || ')'
    ) AS what
    FROM ingest.ai_pauses
    UNION ALL
    SELECT model || ' : ' || coalesce(halted, open_reason, '') FROM ingest.ai_models
    WHERE halted IS NOT NULL OR open_until IS NOT NULL
) all_of_it
