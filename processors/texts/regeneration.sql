-- name: entities
WITH given AS MATERIALIZED (
    SELECT key,
        CASE WHEN key ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN key::uuid END AS id
    FROM unnest(%(keys)s::text[]) AS keys (key)
)
SELECT g.key, t.id FROM given g JOIN category_categorie t ON t.id = g.id OR t.slug = g.key
WHERE %(kind)s = 'CATEGORIE'
UNION
SELECT g.key, t.id FROM given g JOIN subcategory_souscategorie t ON t.id = g.id OR t.slug = g.key
WHERE %(kind)s = 'SOUS_CATEGORIE'
UNION
SELECT g.key, t.id FROM given g JOIN location_ville t ON t.id = g.id OR t.slug = g.key
WHERE %(kind)s = 'VILLE'
UNION
SELECT g.key, t.id FROM given g JOIN enterprise_prolocalisation t ON t.id = g.id
WHERE %(kind)s IN ('PROLOCALISATION', 'AVIS')
UNION
SELECT g.key, t.id FROM given g
JOIN enterprise_entreprise e ON e.siren = g.key
JOIN enterprise_prolocalisation t ON t.entreprise_id = e.id AND t.is_active
WHERE %(kind)s IN ('PROLOCALISATION', 'AVIS')

-- name: regenerate
WITH chosen AS (
    SELECT DISTINCT entity_id FROM unnest(%(ids)s::uuid[]) AS ids (entity_id)
), asked AS (
    INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority, generation)
    SELECT gen_random_uuid(), %(kind)s, c.entity_id, %(reason)s, 1,
        ingest.next_generation(c.entity_id, %(kind)s)
    FROM chosen c
    WHERE NOT EXISTS (
        SELECT FROM ingest.enrichment r
        WHERE r.entity_id = c.entity_id AND r.kind = %(kind)s AND r.reason = %(reason)s
            AND r.state IN ('noted', 'pending', 'running')
    )
    ORDER BY c.entity_id
)
SELECT (SELECT count(*)::integer FROM chosen) AS rows,
    (
        SELECT count(DISTINCT entity_id)::integer FROM ingest.text_marks
        WHERE entity_id IN (SELECT entity_id FROM chosen) AND kind = %(kind)s AND is_edited
    ) AS edited
