-- name: resolvable
-- Without a NAF reference no company has a page, and the statements below cost more to plan than this.
SELECT EXISTS (SELECT FROM ingest.naf)

-- name: of_batch
-- The companies that the current batch inserted or changed.
WITH companies AS MATERIALIZED (
    SELECT t.id, t.siren, t.naf_code, t.code_postal, t.ville_nom, t.is_active
    FROM enterprise_entreprise t
    WHERE t.siren = ANY(string_to_array(%(sirens)s, ' ')) AND t.ingest_partition = %(partition)s
        AND t.ingest_offset >= %(start)s AND (%(unchanged)s OR t.ingest_outcome <> '=')
)

-- name: ids
-- After one of the lists of companies, in the order in which rows are merged.
SELECT id FROM companies ORDER BY siren

-- name: refuse
INSERT INTO ingest.unresolved_pages AS stored (
    entreprise_id, reason, naf_code, code_postal, ville_nom
)
SELECT id, 'refused', naf_code, code_postal, ville_nom
FROM enterprise_entreprise
WHERE id = %(id)s
ON CONFLICT (entreprise_id) DO UPDATE
    SET reason = EXCLUDED.reason, naf_code = EXCLUDED.naf_code,
        code_postal = EXCLUDED.code_postal, ville_nom = EXCLUDED.ville_nom

-- name: chosen
WITH companies AS MATERIALIZED (
    SELECT t.id, t.siren, t.naf_code, t.code_postal, t.ville_nom, t.is_active
    FROM enterprise_entreprise t
    WHERE t.id = ANY(%(ids)s)
)

-- name: lock
-- In the order in which rows are merged.
SELECT FROM enterprise_entreprise WHERE id = ANY(%(ids)s) ORDER BY siren FOR NO KEY UPDATE

-- name: make
-- After one of the two lists above. Companies of one place are grouped and separated again: a join of
-- two such lists would be quadratic here. Never a guess: exactly one matching city, or none. Without a
-- postal code of a city, which may not be disclosed or is a CEDEX, the commune decides; of a CEDEX without
-- one, which the name of the city says to be one, the name within the département.
, known AS MATERIALIZED (
    SELECT c.id, c.code_postal, c.ville_nom, coalesce(x.naf_rev2, c.naf_code) AS naf_code,
        x.naf_2025, c.is_active AND x.masked_person IS NOT TRUE AS is_active,
        CASE WHEN c.code_postal = '' OR ingest.may_be_cedex(c.code_postal, c.ville_nom)
            THEN x.code_commune END AS code_commune
    FROM companies c
    LEFT JOIN ingest.sirene x ON x.siren = c.siren
), given AS MATERIALIZED (
    SELECT code_postal, ville_nom, code_commune, ingest.city_key(ville_nom) AS key,
        left(code_postal, 2) AS departement, ville_nom ~* '\mcedex' AS is_cedex,
        array_agg(id) AS ids, array_agg(naf_code) AS codes, array_agg(naf_2025) AS codes_2025
    FROM known
    WHERE is_active AND naf_code <> ''
    GROUP BY code_postal, ville_nom, code_commune
), places AS MATERIALIZED (
    SELECT g.*, coalesce(fitting.ville_id, of_commune.id, namesake.id) AS ville_id
    FROM given g
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) = 1 THEN (array_agg(id))[1] END AS ville_id
        FROM (
            SELECT id FROM location_ville
            WHERE code_postal_principal = g.code_postal AND (g.key = '' OR ingest_key = g.key)
            UNION
            SELECT id FROM location_ville
            WHERE jsonb_array_length(codes_postaux) > 1
                AND codes_postaux @> to_jsonb(g.code_postal) AND (g.key = '' OR ingest_key = g.key)
        ) cities
    ) fitting
    LEFT JOIN ingest.arrondissements a ON a.code = g.code_commune
    LEFT JOIN LATERAL (
        -- All cities of a commune are right; the same one is taken every time. OFFSET 0: the communes
        -- first, then each city by its slug; joined freely, all cities were read for each place.
        SELECT v.id
        FROM (
            SELECT slug, code FROM ingest.communes
            WHERE g.code_commune IS NOT NULL AND fitting.ville_id IS NULL
                AND code IN (g.code_commune, a.city)
            OFFSET 0
        ) m
        CROSS JOIN LATERAL (
            SELECT id, slug, code_postal_principal FROM location_ville
            WHERE slug = m.slug COLLATE "default" AND (
                -- SIRENE's commune may be older than the place of the row.
                g.code_postal = '' OR ingest_key = g.key
                OR (g.is_cedex OR g.key = '') AND left(code_postal_principal, 2) = g.departement
            ) OFFSET 0
        ) v
        ORDER BY m.code <> g.code_commune, v.code_postal_principal IS DISTINCT FROM a.postal_code,
            v.code_postal_principal, v.slug
        LIMIT 1
    ) of_commune ON true
    LEFT JOIN LATERAL (
        -- No two communes of a département have one name.
        SELECT id FROM location_ville
        WHERE g.is_cedex AND fitting.ville_id IS NULL AND of_commune.id IS NULL
            AND code_postal_principal BETWEEN g.departement || '000' AND g.departement || '999'
            AND ingest_key = g.key AND g.key <> ''
        ORDER BY code_postal_principal, slug
        LIMIT 1
    ) namesake ON true
), resolved AS MATERIALIZED (
    SELECT c.id, c.naf_code, p.code_postal, p.ville_nom, p.code_commune, p.ville_id,
        s.id AS sous_categorie_id,
        CASE
            WHEN trade.slug IS NULL THEN 'naf'
            WHEN s.id IS NULL THEN 'sous-categorie'
            WHEN p.ville_id IS NULL THEN 'ville'
        END AS missing
    FROM places p
    CROSS JOIN LATERAL unnest(p.ids, p.codes, p.codes_2025) AS c (id, naf_code, naf_2025)
    LEFT JOIN ingest.naf n ON n.code = c.naf_code
    LEFT JOIN ingest.naf n25 ON n25.code = c.naf_2025
    CROSS JOIN LATERAL (
        -- The trade of either code: one of NAF 2025 may have none yet.
        SELECT coalesce(nullif(n.sous_categorie, ''), nullif(n25.sous_categorie, '')) AS slug
    ) trade
    LEFT JOIN subcategory_souscategorie s ON s.slug = trade.slug
), made AS (
    INSERT INTO enterprise_prolocalisation AS stored (
        id, created_at, updated_at, entreprise_id, sous_categorie_id, ville_id, ingest_made
        /* filled columns */
    )
    SELECT md5(id::text || sous_categorie_id || ville_id)::uuid, now(), now(), id,
        sous_categorie_id, ville_id, true /* filled values */
    FROM resolved
    WHERE missing IS NULL
    ORDER BY id
    ON CONFLICT (entreprise_id, sous_categorie_id, ville_id) DO UPDATE
        SET is_active = true, ingest_retired = NULL, updated_at = now()
        WHERE stored.ingest_retired
    RETURNING 1
), retired AS (
    -- The company has moved, or changed its activity: the page that an import created for it is
    -- retired, unless it has content of its own.
    UPDATE enterprise_prolocalisation p
    SET is_active = false, ingest_retired = true, updated_at = now()
    FROM (
        SELECT own.id
        FROM resolved r
        CROSS JOIN LATERAL (
            -- Only by the company: without statistics the planner takes other indexes for as good.
            SELECT * FROM enterprise_prolocalisation WHERE entreprise_id = r.id OFFSET 0
        ) own
        WHERE r.missing IS NULL AND own.is_active AND own.ingest_made
            AND (own.sous_categorie_id, own.ville_id) <> (r.sous_categorie_id, r.ville_id)
            AND own.texte_long_entreprise = '' AND own.zone_description = ''
            AND own.meta_description = '' AND own.faq = '[]' AND own.nb_avis = 0
            AND NOT own.is_verified AND own.date_derniere_generation_ia IS NULL
    ) gone
    WHERE p.id = gone.id
    RETURNING 1
), unresolved AS (
    INSERT INTO ingest.unresolved_pages AS stored (
        entreprise_id, reason, naf_code, code_postal, ville_nom, code_commune
    )
    SELECT id, missing, naf_code, code_postal, ville_nom, code_commune
    FROM resolved
    WHERE missing IS NOT NULL
    ORDER BY id
    ON CONFLICT (entreprise_id) DO UPDATE
        SET reason = EXCLUDED.reason, naf_code = EXCLUDED.naf_code,
            code_postal = EXCLUDED.code_postal, ville_nom = EXCLUDED.ville_nom,
            code_commune = EXCLUDED.code_commune
    RETURNING 1
), no_longer_unresolved AS (
    DELETE FROM ingest.unresolved_pages
    WHERE entreprise_id = ANY (ARRAY(
        SELECT id FROM resolved WHERE missing IS NULL
        UNION ALL
        SELECT id FROM known WHERE NOT is_active OR naf_code = ''
    ))
    RETURNING 1
)
SELECT (SELECT count(*) FROM made), (SELECT count(*) FROM retired),
    (SELECT count(*) FROM unresolved), (SELECT count(*) FROM no_longer_unresolved)

-- name: arrived
INSERT INTO ingest.pages_due (reason, key)
SELECT %(reason)s, key FROM unnest(%(keys)s::text[]) AS given (key)

-- name: due
-- Older than two transactions may take, the one that noted the arrival and one that began before that
-- was committed: no transaction that has not seen it is still running.
WITH first AS (
    SELECT reason, after FROM ingest.pages_due
    WHERE at < clock_timestamp() - %(grace)s::interval
    ORDER BY id LIMIT 1
)
SELECT d.id, d.reason, d.key, d.after
FROM ingest.pages_due d JOIN first f ON d.reason = f.reason AND d.after IS NOT DISTINCT FROM f.after
WHERE d.at < clock_timestamp() - %(grace)s::interval
ORDER BY d.id
LIMIT 1000
FOR UPDATE OF d SKIP LOCKED

-- name: waiting
-- By their postal code; by their commune; and those with a CEDEX by their département. `keys` are postal
-- codes and codes of communes.
(
    SELECT entreprise_id FROM ingest.unresolved_pages
    WHERE reason = %(reason)s AND (%(keys)s::text[] IS NULL OR code_postal = ANY(%(keys)s))
        AND (%(after)s::uuid IS NULL OR entreprise_id > %(after)s)
    ORDER BY entreprise_id
    LIMIT %(limit)s
) UNION (
    SELECT entreprise_id FROM ingest.unresolved_pages
    WHERE reason = 'ville' AND code_commune = ANY(%(keys)s || ARRAY(
            SELECT code FROM ingest.arrondissements WHERE city = ANY(%(keys)s)
        ))
        AND (%(after)s::uuid IS NULL OR entreprise_id > %(after)s)
    ORDER BY entreprise_id
    LIMIT %(limit)s
) UNION (
    SELECT entreprise_id FROM ingest.unresolved_pages
    WHERE reason = 'ville' AND ville_nom ~* '\mcedex'
        AND left(code_postal, 2) = ANY(ARRAY(SELECT left(key, 2) FROM unnest(%(keys)s::text[]) key))
        AND (%(after)s::uuid IS NULL OR entreprise_id > %(after)s)
    ORDER BY entreprise_id
    LIMIT %(limit)s
)
ORDER BY entreprise_id
LIMIT %(limit)s

-- name: of_activities
-- With a page or without: the mapping of the activity has changed.
SELECT id
FROM enterprise_entreprise
WHERE naf_code <> '' AND (
        %(keys)s::text[] IS NULL OR naf_code = ANY(%(keys)s) OR siren IN (
            SELECT siren FROM ingest.sirene WHERE naf_rev2 = ANY(%(keys)s)
            UNION ALL SELECT siren FROM ingest.sirene WHERE naf_2025 = ANY(%(keys)s)
        )
    )
    AND (%(after)s::uuid IS NULL OR id > %(after)s)
ORDER BY id
LIMIT %(limit)s

-- name: looked
UPDATE ingest.pages_due SET after = %(after)s WHERE id = ANY(%(ids)s)

-- name: done
DELETE FROM ingest.pages_due WHERE id = ANY(%(ids)s)

-- name: counted
SELECT reason, count(*) FROM ingest.unresolved_pages GROUP BY reason

-- name: unresolved
SELECT e.siren, e.nom, u.reason, u.naf_code, u.code_postal, u.ville_nom, u.since
FROM ingest.unresolved_pages u JOIN enterprise_entreprise e ON e.id = u.entreprise_id
ORDER BY u.reason, u.code_postal, e.siren
LIMIT %(limit)s

-- name: partly_disclosed
SELECT e.id, x.masked_person
FROM enterprise_entreprise e JOIN ingest.sirene x ON x.siren = e.siren
WHERE e.siren = ANY(%(sirens)s) AND 'P' IN (x.diffusion_unite, x.diffusion_siege)
ORDER BY e.siren

-- name: unplace
-- Where the site itself has put the company on its map.
UPDATE enterprise_entreprise
SET latitude = NULL, longitude = NULL, google_place_id = ''
WHERE id = ANY(%(ids)s) AND (num_nonnulls(latitude, longitude) > 0 OR google_place_id <> '')

-- name: withdraw_pages
UPDATE enterprise_prolocalisation
SET is_active = false, ingest_retired = true, texte_long_entreprise = '', zone_description = '',
    meta_description = '', faq = '[]', updated_at = now()
WHERE entreprise_id = ANY(%(ids)s) AND (
    is_active OR (texte_long_entreprise, zone_description, meta_description) <> ('', '', '')
    OR faq <> '[]'
)

-- name: withdraw_owners
UPDATE enterprise_entreprise SET nom_proprietaire = '', original_title = ''
WHERE id = ANY(%(ids)s) AND (nom_proprietaire, original_title) <> ('', '')

-- name: unlink_syntheses
UPDATE reviews_avis SET avis_decrypte_id = NULL
WHERE avis_decrypte_id IN (
    SELECT id FROM reviews_avisdecrypte WHERE entreprise_id = ANY(%(ids)s)
)

-- name: withdraw_syntheses
DELETE FROM reviews_avisdecrypte WHERE entreprise_id = ANY(%(ids)s)

-- name: withdraw_texts
-- With their provenance, what stood there before, and the answers to every request for them.
WITH pages AS MATERIALIZED (
    SELECT id FROM enterprise_prolocalisation WHERE entreprise_id = ANY(%(ids)s)
), removed AS (
    DELETE FROM ingest.enrichment_texts WHERE entity_id IN (SELECT id FROM pages)
    RETURNING prompt_hash
), provenance AS (
    DELETE FROM ingest.text_provenance WHERE entity_id IN (SELECT id FROM pages)
), history AS (
    DELETE FROM ingest.text_history WHERE entity_id IN (SELECT id FROM pages)
), rejected AS (
    DELETE FROM ingest.ai_rejected WHERE entity_id IN (SELECT id FROM pages)
)
SELECT ingest.remove_answers(array_agg(prompt_hash)) FROM (
    SELECT prompt_hash FROM removed
    UNION
    SELECT prompt_hash FROM ingest.enrichment
    WHERE entity_id IN (SELECT id FROM pages) AND prompt_hash IS NOT NULL
) hashes
HAVING count(*) > 0
