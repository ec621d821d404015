-- name: villes
SELECT 'VILLE' AS kind, t.id AS entity_id, t.ingest_import_id AS import_id, 1 AS priority
FROM location_ville t
WHERE t.slug = ANY(%(keys)s) AND t.ingest_import_id = ANY(%(imports)s) AND t.updated_at = now()

-- name: categories
SELECT 'CATEGORIE' AS kind, t.id AS entity_id, t.ingest_import_id AS import_id, 1 AS priority
FROM category_categorie t
WHERE t.ingest_key = ANY(%(keys)s) AND t.ingest_import_id = ANY(%(imports)s) AND t.updated_at = now()

-- name: sous_categories
-- By import and transaction: a table of a few thousand rows, of which the key is not enough.
SELECT 'SOUS_CATEGORIE' AS kind, t.id AS entity_id, t.ingest_import_id AS import_id, 1 AS priority
FROM subcategory_souscategorie t
WHERE t.ingest_import_id = ANY(%(imports)s) AND t.updated_at = now()

-- name: entreprises
-- The pages of companies: a presentation, and a synthesis where there are public reviews.
SELECT k.kind, p.id AS entity_id, t.ingest_import_id AS import_id,
    CASE WHEN ingest.is_sponsored(p.id) THEN 0 ELSE 1 END AS priority
FROM enterprise_entreprise t
JOIN enterprise_prolocalisation p ON p.entreprise_id = t.id AND p.is_active
CROSS JOIN (VALUES ('PROLOCALISATION'), ('AVIS')) AS k (kind)
WHERE t.siren = ANY(%(keys)s) AND t.ingest_import_id = ANY(%(imports)s) AND t.updated_at = now()
    AND (k.kind = 'PROLOCALISATION' OR ingest.has_public_reviews(p.id))

-- name: imports_with_texts
SELECT id::text FROM ingest.imports WHERE id = ANY(%(ids)s::uuid[]) AND generate_ai_content

-- name: pages
-- Pages that were made in this transaction of companies that wait no longer.
SELECT k.kind, p.id AS entity_id, t.ingest_import_id AS import_id,
    CASE WHEN ingest.is_sponsored(p.id) THEN 0 ELSE 1 END AS priority
FROM enterprise_entreprise t
JOIN enterprise_prolocalisation p
    ON p.entreprise_id = t.id AND p.is_active AND p.updated_at = now()
JOIN ingest.imports i ON i.id = t.ingest_import_id AND i.generate_ai_content
CROSS JOIN (VALUES ('PROLOCALISATION'), ('AVIS')) AS k (kind)
WHERE t.id = ANY(%(ids)s)
    AND (k.kind = 'PROLOCALISATION' OR ingest.has_public_reviews(p.id))

-- name: note
-- What was answered already is requested anew: the row has changed. If it has not, the answer
-- is known and costs nothing.
INSERT INTO ingest.enrichment AS stored (id, kind, entity_id, import_id, reason, priority)
SELECT ingest.request_id(import_id::text, entity_id, kind), kind, entity_id, import_id, 'import', priority
FROM touched
ORDER BY 1
ON CONFLICT (id) DO UPDATE
    SET state = 'noted', sent_at = NULL, tries = 0, not_before = now(), code = NULL, message = NULL,
        finished_at = NULL
    WHERE stored.state IN ('done', 'failed')

-- name: request_again
-- A user requests the texts of an import: those that failed or were left are requested again; all of
-- them if none were requested before.
WITH before AS (
    SELECT id, generate_ai_content FROM ingest.imports WHERE id = %(id)s FOR UPDATE
), again AS (
    UPDATE ingest.enrichment e
    SET state = 'noted', sent_at = NULL, tries = 0, not_before = now(),
        code = NULL, message = NULL, finished_at = NULL, asked_at = now(),
        reason = CASE WHEN e.reason IN ('regenerate', 'overwrite') THEN e.reason ELSE 'asked' END
    FROM before b
    WHERE e.import_id = b.id AND e.state IN ('failed', 'left')
), scan AS (
    INSERT INTO ingest.enrichment_scans (import_id)
    SELECT id FROM before WHERE NOT generate_ai_content
    ON CONFLICT DO NOTHING
)
UPDATE ingest.imports i
SET generate_ai_content = true, ai_until = NULL, ai_moved = true
FROM before b
WHERE i.id = b.id

-- name: moved
SELECT id FROM ingest.imports WHERE ai_moved AND partition = ANY(%(partitions)s)

-- name: clear_moved
-- Before the requests are counted: a change after the count is noticed the next time. It waits for
-- transactions that change any (store.sql), and counts what they have done.
UPDATE ingest.imports SET ai_moved = false WHERE id = ANY(%(ids)s) AND ai_moved

-- name: some_ville
SELECT id FROM location_ville
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: some_categorie
SELECT id FROM category_categorie
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: some_sous_categorie
SELECT id FROM subcategory_souscategorie
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: some_entreprise
SELECT id FROM enterprise_entreprise
WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: of_ville
SELECT 'VILLE' AS kind, id AS entity_id, ingest_import_id AS import_id, 1 AS priority
FROM location_ville
WHERE id = ANY(%(ids)s) AND ingest_import_id = %(import_id)s AND ingest_outcome <> '='

-- name: of_categorie
SELECT 'CATEGORIE' AS kind, id AS entity_id, ingest_import_id AS import_id, 1 AS priority
FROM category_categorie
WHERE id = ANY(%(ids)s) AND ingest_import_id = %(import_id)s AND ingest_outcome <> '='

-- name: of_sous_categorie
SELECT 'SOUS_CATEGORIE' AS kind, id AS entity_id, ingest_import_id AS import_id, 1 AS priority
FROM subcategory_souscategorie
WHERE id = ANY(%(ids)s) AND ingest_import_id = %(import_id)s AND ingest_outcome <> '='

-- name: of_entreprise
SELECT k.kind, p.id AS entity_id, t.ingest_import_id AS import_id,
    CASE WHEN ingest.is_sponsored(p.id) THEN 0 ELSE 1 END AS priority
FROM enterprise_entreprise t
JOIN enterprise_prolocalisation p ON p.entreprise_id = t.id AND p.is_active
CROSS JOIN (VALUES ('PROLOCALISATION'), ('AVIS')) AS k (kind)
WHERE t.id = ANY(%(ids)s) AND t.ingest_import_id = %(import_id)s AND t.ingest_outcome <> '='
    AND (k.kind = 'PROLOCALISATION' OR ingest.has_public_reviews(p.id))
