-- name: taken
-- What waits of earlier nights, and what is spent of the budgets of the day and the month.
SELECT
    (
        SELECT count(*)::integer FROM ingest.enrichment
        WHERE reason IN ('missing', 'expired', 'low-quality') AND state IN ('noted', 'pending', 'running')
    ),
    coalesce(max(spent) FILTER (WHERE scope = %(day)s), 0)::numeric,
    coalesce(max(spent) FILTER (WHERE scope = %(month)s), 0)::numeric
FROM ingest.ai_budgets WHERE scope IN (%(day)s, %(month)s)

-- name: limits
-- Budgets that operators set by hand.
SELECT kind, amount FROM ingest.ai_limits

-- name: missing_categorie
SELECT t.id, NULL AS texte FROM category_categorie t
WHERE t.id > %(after)s AND t.texte_description_ia = ''
ORDER BY t.id LIMIT %(limit)s

-- name: missing_sous_categorie
SELECT t.id, NULL AS texte FROM subcategory_souscategorie t
WHERE t.id > %(after)s AND t.texte_description_ia = ''
ORDER BY t.id LIMIT %(limit)s

-- name: missing_prolocalisation
SELECT t.id, NULL AS texte FROM enterprise_prolocalisation t
WHERE t.id > %(after)s AND t.is_active AND t.texte_long_entreprise = ''
ORDER BY t.id LIMIT %(limit)s

-- name: missing_avis
SELECT t.id, NULL AS texte FROM enterprise_prolocalisation t
WHERE t.id > %(after)s AND t.is_active AND ingest.has_public_reviews(t.id)
    AND NOT EXISTS (
        SELECT FROM reviews_avisdecrypte d
        WHERE d.pro_localisation_id = t.id AND coalesce(d.texte_decrypte, '') <> ''
    )
ORDER BY t.id LIMIT %(limit)s

-- name: expired
-- Of all kinds: by the one expiry that there is.
SELECT t.entity_id AS id, NULL AS texte FROM ingest.enrichment_texts t
WHERE t.kind = %(kind)s AND t.entity_id > %(after)s AND t.expires_at <= now()
ORDER BY t.entity_id LIMIT %(limit)s

-- name: stored_categorie
SELECT t.id, t.texte_description_ia AS texte FROM category_categorie t
WHERE t.id > %(after)s AND t.texte_description_ia <> ''
    AND NOT EXISTS (
        SELECT FROM ingest.text_provenance p
        WHERE p.entity_id = t.id AND p.kind = 'CATEGORIE' AND p.edited_at IS NOT NULL
    )
ORDER BY t.id LIMIT %(limit)s

-- name: stored_sous_categorie
SELECT t.id, t.texte_description_ia AS texte FROM subcategory_souscategorie t
WHERE t.id > %(after)s AND t.texte_description_ia <> ''
    AND NOT EXISTS (
        SELECT FROM ingest.text_provenance p
        WHERE p.entity_id = t.id AND p.kind = 'SOUS_CATEGORIE' AND p.edited_at IS NOT NULL
    )
ORDER BY t.id LIMIT %(limit)s

-- name: stored_prolocalisation
SELECT t.id, t.texte_long_entreprise AS texte FROM enterprise_prolocalisation t
WHERE t.id > %(after)s AND t.is_active AND t.texte_long_entreprise <> ''
    AND NOT EXISTS (
        SELECT FROM ingest.enrichment_texts x WHERE x.entity_id = t.id AND x.kind = 'PROLOCALISATION'
    )
ORDER BY t.id LIMIT %(limit)s

-- name: stored_avis
SELECT d.pro_localisation_id AS id, d.texte_decrypte AS texte
FROM reviews_avisdecrypte d
WHERE d.pro_localisation_id > %(after)s AND coalesce(d.texte_decrypte, '') <> ''
    AND ingest.has_public_reviews(d.pro_localisation_id)
    AND NOT EXISTS (
        SELECT FROM ingest.enrichment_texts x
        WHERE x.entity_id = d.pro_localisation_id AND x.kind = 'AVIS'
    )
ORDER BY d.pro_localisation_id LIMIT %(limit)s

-- name: ask
-- Not where a request waits already, nor where one failed lately: a person may ask for those.
INSERT INTO ingest.enrichment (id, kind, entity_id, reason, priority)
SELECT ingest.request_id(%(run)s, e, %(kind)s), %(kind)s, e, %(reason)s,
    CASE WHEN %(kind)s IN ('PROLOCALISATION', 'AVIS') AND ingest.is_sponsored(e) THEN 0 ELSE 2 END
FROM unnest(%(ids)s::uuid[]) AS e
WHERE NOT EXISTS (
    SELECT FROM ingest.enrichment r
    WHERE r.entity_id = e AND r.kind = %(kind)s AND (
        r.state IN ('noted', 'pending', 'running')
        OR (r.state = 'failed' AND r.finished_at > now() - interval '7 days')
    )
)
ORDER BY e
LIMIT %(limit)s
ON CONFLICT (id) DO NOTHING
RETURNING id
